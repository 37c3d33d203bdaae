//! Writes a security catalog (`.cat`): the digests of a driver package's files, ready to sign.
//!
//! A catalog is a certificate trust list in a PKCS #7 message (learn.microsoft.com "Catalog Files
//! and Digital Signatures"; "Windows Authenticode Portable Executable Signature Format" for the
//! digests). Windows has makecat and Inf2Cat for this; Linux has nothing.
//!
//! Invariants: an image is listed by its Authenticode digest, so that signing it later changes
//! nothing here; any other file by the digest of all its bytes.
//! Neighbours: `der` encodes; `sign` signs the catalog; `package` decides who is a member.

use anyhow::Result;
use sha2::{Digest as _, Sha256};

use crate::der::{bits, bmp_string, explicit, implicit, integer, null, object_id, octets, sequence, set, utc_time};
use crate::pe;

/// Object identifiers of PKCS #7 and SHA-256.
const SIGNED_DATA: &[u32] = &[1, 2, 840, 113_549, 1, 7, 2];
const SHA_256: &[u32] = &[2, 16, 840, 1, 101, 3, 4, 2, 1];
/// Microsoft's, all under 1.3.6.1.4.1.311.
const TRUST_LIST: &[u32] = &[1, 3, 6, 1, 4, 1, 311, 10, 1];
const CATALOG_LIST: &[u32] = &[1, 3, 6, 1, 4, 1, 311, 12, 1, 1];
const CATALOG_MEMBER_V2: &[u32] = &[1, 3, 6, 1, 4, 1, 311, 12, 1, 3];
const NAME_VALUE: &[u32] = &[1, 3, 6, 1, 4, 1, 311, 12, 2, 1];
const MEMBER_INFO_V2: &[u32] = &[1, 3, 6, 1, 4, 1, 311, 12, 2, 3];
const INDIRECT_DATA: &[u32] = &[1, 3, 6, 1, 4, 1, 311, 2, 1, 4];
const PE_IMAGE_DATA: &[u32] = &[1, 3, 6, 1, 4, 1, 311, 2, 1, 15];
const FLAT_DATA: &[u32] = &[1, 3, 6, 1, 4, 1, 311, 2, 1, 25];

/// How a name-value pair is stored: authenticated, as text, replacing an older one.
const NAME_VALUE_FLAGS: u32 = 0x1001_0001;
/// Windows 10 and later, on x64: as Inf2Cat names systems.
const SYSTEM: &str = "_v100_X64";
/// The same for one file: platform 2 (NT), version 10.0 or later.
const FILE_SYSTEM: &str = "2:10.0";

/// A file that the catalog vouches for.
pub struct Member<'a> {
    /// Its name, without a folder.
    pub name: &'a str,
    /// Its contents.
    pub bytes: &'a [u8],
}

/// Makes an unsigned catalog; `time` is `YYMMDDHHMMSSZ`.
pub fn write(members: &[Member], time: &str) -> Result<Vec<u8>> {
    let mut entries = members.iter().map(entry).collect::<Result<Vec<_>>>()?;
    entries.sort();
    let entries = sequence(&entries);
    // The list needs a number of its own: what it lists gives one, the same for the same files.
    let identifier: [u8; 32] = Sha256::digest(&entries).into();
    let system = sequence(&[object_id(NAME_VALUE), octets(&name_value("OS", SYSTEM))]);
    let list = sequence(&[
        sequence(&[object_id(CATALOG_LIST)]),
        octets(&identifier[..16]),
        utc_time(time),
        sequence(&[object_id(CATALOG_MEMBER_V2), null()]),
        entries,
        explicit(0, &sequence(&[system])),
    ]);
    let signed_data =
        sequence(&[integer(1), set(vec![]), sequence(&[object_id(TRUST_LIST), explicit(0, &list)]), set(vec![])]);
    Ok(sequence(&[object_id(SIGNED_DATA), explicit(0, &signed_data)]))
}

/// The digest by which a catalog lists a file.
pub fn digest(bytes: &[u8]) -> Result<[u8; 32]> {
    if pe::is_image(bytes) { pe::authenticode_digest(bytes) } else { Ok(Sha256::digest(bytes).into()) }
}

fn entry(member: &Member) -> Result<Vec<u8>> {
    let digest = digest(member.bytes)?;
    let attribute = |name, value| sequence(&[object_id(NAME_VALUE), set(vec![name_value(name, value)])]);
    let kind = if pe::is_image(member.bytes) { image_kind() } else { flat_kind() };
    let digest_info = sequence(&[sequence(&[object_id(SHA_256), null()]), octets(&digest)]);
    let attributes = set(vec![
        attribute("File", member.name),
        attribute("OSAttr", FILE_SYSTEM),
        sequence(&[object_id(INDIRECT_DATA), set(vec![sequence(&[kind, digest_info])])]),
        sequence(&[object_id(MEMBER_INFO_V2), set(vec![implicit(0, &[])])]),
    ]);
    Ok(sequence(&[octets(&digest), attributes]))
}

fn name_value(name: &str, value: &str) -> Vec<u8> {
    let text: Vec<u8> = value.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    sequence(&[bmp_string(name), integer(NAME_VALUE_FLAGS), octets(&text)])
}

/// How the digest of an image was made: over everything that Authenticode covers. The link names
/// the file by the text that every signer since Windows Vista writes there.
fn image_kind() -> Vec<u8> {
    let obsolete: Vec<u8> = "<<<Obsolete>>>".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let link = explicit(0, &explicit(2, &implicit(0, &obsolete)));
    sequence(&[object_id(PE_IMAGE_DATA), sequence(&[bits(&[0xA0], 5), link])])
}

/// How the digest of any other file was made: over all its bytes.
fn flat_kind() -> Vec<u8> {
    sequence(&[object_id(FLAT_DATA), explicit(2, &implicit(0, &[]))])
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::image::sample;
    use crate::run::Run;
    use crate::workspace;

    const TIME: &str = "260102030405Z";

    #[test]
    fn a_catalog_is_well_formed_and_lists_every_member() {
        let driver = sample::driver();
        let members = [Member { name: "a.sys", bytes: &driver }, Member { name: "a.inf", bytes: b"[Version]\n" }];
        let path = workspace::work_dir().join("t-catalog.cat");
        fs::create_dir_all(workspace::work_dir()).unwrap();
        fs::write(&path, write(&members, TIME).unwrap()).unwrap();
        let asn1parse = Run::new("openssl").args(["asn1parse", "-inform", "DER", "-in"]).arg(path);
        let parsed = asn1parse.log("t-asn1parse").stdout().unwrap();
        assert!(parsed.contains(&format!("UTCTIME           :{TIME}")), "{parsed}");
        for member in members {
            let hex: String = digest(member.bytes).unwrap().iter().map(|byte| format!("{byte:02X}")).collect();
            // Once as the member's name, once as its digest.
            assert_eq!(parsed.matches(&hex).count(), 2, "{}", member.name);
        }
    }

    #[test]
    fn the_same_files_make_the_same_catalog_in_any_order() {
        let (a, b) = (Member { name: "a", bytes: b"1" }, Member { name: "b", bytes: b"2" });
        let forward = write(&[a, b], TIME).unwrap();
        let (a, b) = (Member { name: "a", bytes: b"1" }, Member { name: "b", bytes: b"2" });
        assert_eq!(forward, write(&[b, a], TIME).unwrap());
    }

    #[test]
    fn the_checksum_of_an_image_is_not_in_its_digest_and_its_code_is() {
        let driver = sample::driver();
        let with = |at: usize| {
            let mut changed = driver.clone();
            changed[at] ^= 1;
            digest(&changed).unwrap()
        };
        assert_eq!(with(sample::CHECKSUM), digest(&driver).unwrap());
        assert_ne!(with(sample::CODE), digest(&driver).unwrap());
    }
}
