//! Broken images, each made by patching one thing of a good one, and the objection to each.

use super::imports::Imports;
use super::{check, sample};

#[test]
fn a_good_driver_has_no_objection() {
    let report = report(sample::driver());
    assert_eq!(report.objections, [""; 0]);
    assert_eq!(report.imports, ["ntoskrnl.exe!DbgPrintEx"]);
    assert_eq!(report.sections, [".text rx", ".rdata r"]);
}

#[test]
fn another_machine_is_refused() {
    broken(sample::MACHINE, &0xAA64_u16.to_le_bytes(), "machine 0xaa64 is not x64");
}

#[test]
fn a_console_program_is_refused() {
    broken(sample::SUBSYSTEM, &[3], "subsystem 3 is not native (1)");
}

#[test]
fn a_missing_entry_point_is_refused() {
    broken(sample::ENTRY_POINT, &[0; 4], "entry point 0x0 lies in no section");
}

#[test]
fn an_entry_point_in_data_is_refused() {
    let rva = 0x2000_u32.to_le_bytes();
    broken(sample::ENTRY_POINT, &rva, "entry point 0x2000 lies in .rdata, which is not executable");
}

#[test]
fn a_writable_code_section_is_refused() {
    let rights = 0xE000_0020_u32.to_le_bytes();
    broken(sample::TEXT_RIGHTS, &rights, "section .text is writable and executable");
}

#[test]
fn an_image_that_cannot_move_is_refused() {
    broken(sample::IMAGE_TRAITS, &[0x20, 0x01], "not relocatable: DYNAMIC_BASE is not set");
    broken(sample::FILE_TRAITS, &[0x23, 0], "not relocatable: its relocations were stripped");
}

#[test]
fn an_image_that_runs_data_is_refused() {
    broken(sample::IMAGE_TRAITS, &[0x60, 0x00], "NX_COMPAT is not set");
}

#[test]
fn a_changed_byte_breaks_the_checksum() {
    let mut image = sample::driver();
    image[sample::CODE] ^= 1;
    let objections = report(image).objections;
    assert_eq!(objections.len(), 1);
    assert!(objections[0].starts_with("checksum 0x"), "{objections:?}");
}

#[test]
fn a_name_that_windows_lacks_is_refused_with_its_module() {
    let objection = "import ntoskrnl.exe!KeTickCoun: not in packaging/imports.txt";
    broken(sample::IMPORT_NAME, b"KeTickCoun", objection);
    let objection = "import ntoskrnl.exe!KeTickCount: a 32-bit export";
    broken(sample::IMPORT_NAME, b"KeTickCount\0", objection);
}

#[test]
fn an_import_by_number_is_refused() {
    let thunk = (7_u64 | 1 << 63).to_le_bytes();
    broken(sample::THUNK, &thunk, "import ntoskrnl.exe!#7: not in");
}

#[test]
fn no_truncated_image_is_accepted() {
    let image = sample::driver();
    let imports = Imports::load().unwrap();
    for length in 0..image.len() {
        // An error or an objection; never a pass, never a panic.
        if let Ok(report) = check(&image[..length], &imports) {
            assert_ne!(report.objections, [""; 0], "cut to {length} bytes");
        }
    }
}

/// Patches the good image, makes its checksum right, and expects one objection.
fn broken(at: usize, patch: &[u8], objection: &str) {
    let mut image = sample::driver();
    image[at..at + patch.len()].copy_from_slice(patch);
    let objections = report(sample::sealed(image)).objections;
    assert_eq!(objections.len(), 1, "{objections:?}");
    assert!(objections[0].starts_with(objection), "{objections:?}");
}

fn report(image: Vec<u8>) -> super::Report {
    check(&image, &Imports::load().unwrap()).unwrap()
}
