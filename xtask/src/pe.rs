//! The two sums over a PE file: its checksum, and the digest that Authenticode signs.
//!
//! Invariants: both leave out the fields that signing changes (learn.microsoft.com "PE Format"
//! and "Windows Authenticode Portable Executable Signature Format").
//! Neighbours: `image` compares the checksum; `catalog` lists the digest.

use anyhow::{Context, Result, bail};
use object::LittleEndian as LE;
use object::pe::IMAGE_DIRECTORY_ENTRY_SECURITY;
use object::read::pe::PeFile64;
use sha2::{Digest as _, Sha256};

/// Offset of the checksum in the headers that follow the DOS header.
const CHECKSUM: usize = 4 + 20 + 64;
/// Offset of the data directories there, in a 64-bit image.
const DIRECTORIES: usize = 4 + 20 + 112;
const DIRECTORY_SIZE: usize = 8;

/// Places in a file that the sums treat apart.
struct Places {
    checksum: usize,
    /// The directory entry of the signature.
    security: usize,
    /// Where the signature starts, or the end of the file.
    end: usize,
}

/// Whether a file is an image at all.
pub fn is_image(bytes: &[u8]) -> bool {
    bytes.starts_with(b"MZ")
}

/// The checksum that the headers of this image should hold.
pub fn checksum(bytes: &[u8]) -> Result<u32> {
    let places = Places::find(bytes)?;
    let mut sum: u64 = 0;
    for (index, pair) in bytes.chunks(2).enumerate() {
        let word = u16::from_le_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
        let at = index * 2;
        if !(places.checksum..places.checksum + 4).contains(&at) {
            sum += u64::from(word);
        }
    }
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    let length = u32::try_from(bytes.len()).context("an image of more than 4 GiB")?;
    Ok(u32::try_from(sum)? + length)
}

/// Makes the checksum in the headers right.
pub fn write_checksum(bytes: &mut [u8]) -> Result<()> {
    let (at, sum) = (Places::find(bytes)?.checksum, checksum(bytes)?);
    bytes[at..at + 4].copy_from_slice(&sum.to_le_bytes());
    Ok(())
}

/// The SHA-256 digest that a signature of this image covers.
pub fn authenticode_digest(bytes: &[u8]) -> Result<[u8; 32]> {
    let places = Places::find(bytes)?;
    let mut digest = Sha256::new();
    digest.update(&bytes[..places.checksum]);
    digest.update(&bytes[places.checksum + 4..places.security]);
    digest.update(&bytes[places.security + DIRECTORY_SIZE..places.end]);
    // A signature starts at a multiple of 8, and signing fills up with zeros.
    digest.update(vec![0; places.end.next_multiple_of(8) - places.end]);
    Ok(digest.finalize().into())
}

impl Places {
    fn find(bytes: &[u8]) -> Result<Places> {
        let file = PeFile64::parse(bytes).context("not a 64-bit PE image")?;
        let headers = usize::try_from(file.dos_header().nt_headers_offset())?;
        let directories = file.data_directories();
        let end = match directories.get(IMAGE_DIRECTORY_ENTRY_SECURITY) {
            // This one entry holds an offset in the file, not an address.
            Some(entry) => usize::try_from(entry.virtual_address.get(LE))?,
            None => bytes.len(),
        };
        let security = headers + DIRECTORIES + DIRECTORY_SIZE * IMAGE_DIRECTORY_ENTRY_SECURITY;
        if directories.len() <= IMAGE_DIRECTORY_ENTRY_SECURITY
            || !(security + DIRECTORY_SIZE..=bytes.len()).contains(&end)
        {
            bail!("the signature lies outside the image");
        }
        Ok(Places { checksum: headers + CHECKSUM, security, end })
    }
}
