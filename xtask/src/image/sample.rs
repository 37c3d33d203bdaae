//! A small correct driver image, made byte by byte, for tests to break.
//!
//! Invariants: it has every part that a check looks at, at the offsets named here.
//! Neighbours: `tests` patches it; `catalog` hashes it.

use crate::pe;

pub const MACHINE: usize = NT + 4;
pub const FILE_TRAITS: usize = NT + 22;
pub const ENTRY_POINT: usize = OPTIONAL + 16;
pub const CHECKSUM: usize = OPTIONAL + 64;
pub const SUBSYSTEM: usize = OPTIONAL + 68;
pub const IMAGE_TRAITS: usize = OPTIONAL + 70;
/// The characteristics of the code section.
pub const TEXT_RIGHTS: usize = SECTIONS + 36;
/// A byte of code.
pub const CODE: usize = 0x200;
/// The first import by name: the name's place in the file.
pub const IMPORT_NAME: usize = 0x400 + 0x82;
/// The thunk of that import.
pub const THUNK: usize = 0x400 + 0x40;

const NT: usize = 0x40;
const OPTIONAL: usize = NT + 24;
const SECTIONS: usize = OPTIONAL + 240;

/// A driver that imports `ntoskrnl.exe!DbgPrintEx` and returns.
pub fn driver() -> Vec<u8> {
    let mut image = Image(vec![0; 0x600]);
    image.bytes(0, b"MZ").u32(0x3C, 0x40);
    image.bytes(NT, b"PE\0\0").u16(MACHINE, 0x8664).u16(NT + 6, 2).u16(NT + 20, 240);
    image.u16(FILE_TRAITS, 0x22).u16(OPTIONAL, 0x20B).u32(ENTRY_POINT, 0x1000);
    image.u32(OPTIONAL + 24, 0x1_0000).u32(OPTIONAL + 32, 0x1000).u32(OPTIONAL + 36, 0x200);
    image.u32(OPTIONAL + 56, 0x3000).u32(OPTIONAL + 60, 0x200);
    image.u16(SUBSYSTEM, 1).u16(IMAGE_TRAITS, 0x0160).u32(OPTIONAL + 108, 16);
    image.u32(OPTIONAL + 120, 0x2000).u32(OPTIONAL + 124, 40);
    image.section(0, b".text", 0x1000, 0x200, 0x6000_0020);
    image.section(1, b".rdata", 0x2000, 0x400, 0x4000_0040);
    image.bytes(CODE, &[0x33, 0xC0, 0xC3]);
    // One import descriptor, its two thunk tables, the module's name, the hint and name.
    image.u32(0x400, 0x2040).u32(0x40C, 0x2060).u32(0x410, 0x2050);
    image.u32(THUNK, 0x2080).u32(0x450, 0x2080);
    image.bytes(0x460, b"ntoskrnl.exe").bytes(IMPORT_NAME, b"DbgPrintEx");
    sealed(image.0)
}

/// The same image with its checksum made right again.
pub fn sealed(mut image: Vec<u8>) -> Vec<u8> {
    pe::write_checksum(&mut image).unwrap();
    image
}

struct Image(Vec<u8>);

impl Image {
    fn bytes(&mut self, at: usize, bytes: &[u8]) -> &mut Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    fn u16(&mut self, at: usize, value: u16) -> &mut Self {
        self.bytes(at, &value.to_le_bytes())
    }

    fn u32(&mut self, at: usize, value: u32) -> &mut Self {
        self.bytes(at, &value.to_le_bytes())
    }

    fn section(&mut self, index: usize, name: &[u8], address: u32, offset: u32, rights: u32) {
        let at = SECTIONS + 40 * index;
        self.bytes(at, name).u32(at + 8, 0x200).u32(at + 12, address);
        self.u32(at + 16, 0x200).u32(at + 20, offset).u32(at + 36, rights);
    }
}
