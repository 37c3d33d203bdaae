//! `cargo xtask image FILE.sys`: would Windows load this driver?
//!
//! Invariants: every objection names the offending thing; a file that cannot be read as an image
//! is an error, not a pass.
//! Neighbours: `imports` holds the list of allowed names; `pe` computes the checksum; `package`
//! refuses to ship an image with objections.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use object::LittleEndian as LE;
use object::pe::{
    IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE, IMAGE_DLLCHARACTERISTICS_NX_COMPAT, IMAGE_FILE_MACHINE_AMD64,
    IMAGE_FILE_RELOCS_STRIPPED, IMAGE_SCN_MEM_EXECUTE, IMAGE_SCN_MEM_WRITE, IMAGE_SUBSYSTEM_NATIVE, ImageNtHeaders64,
    ImageSectionHeader,
};
use object::read::pe::{ImageThunkData as _, PeFile64};
use serde::Serialize;

use crate::image::imports::Imports;
use crate::pe;

pub mod imports;
#[cfg(test)]
pub mod sample;
#[cfg(test)]
mod tests;

/// Arguments of `cargo xtask image`.
#[derive(clap::Args)]
pub struct Args {
    /// The driver
    file: PathBuf,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// What an image is, and what Windows would object to.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Its entry point, relative to its base.
    pub entry_point: u32,
    /// The checksum in its headers.
    pub checksum: u32,
    /// Its sections' names and rights.
    pub sections: Vec<String>,
    /// `MODULE!NAME` of each import.
    pub imports: Vec<String>,
    /// Why Windows would not load it, or not run it safely.
    pub objections: Vec<String>,
}

/// Checks one file and prints the report.
pub fn run(args: &Args) -> Result<()> {
    let report = check_file(&args.file)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("entry point  {:#x}", report.entry_point);
        println!("checksum     {:#010x}", report.checksum);
        println!("sections     {}", report.sections.join(", "));
        println!("imports      {}", report.imports.join("\n             "));
    }
    report.verdict(&args.file)
}

/// Checks one file against the import list of this repository.
pub fn check_file(file: &Path) -> Result<Report> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    check(&bytes, &Imports::load()?).with_context(|| file.display().to_string())
}

/// Checks an image.
pub fn check(bytes: &[u8], allowed: &Imports) -> Result<Report> {
    let file = PeFile64::parse(bytes).context("not a 64-bit PE image")?;
    let mut report = Report {
        entry_point: file.nt_headers().optional_header.address_of_entry_point.get(LE),
        checksum: file.nt_headers().optional_header.check_sum.get(LE),
        sections: file.section_table().iter().map(section_text).collect(),
        imports: Vec::new(),
        objections: Vec::new(),
    };
    report.check_headers(&file, bytes)?;
    report.check_sections(&file);
    report.check_imports(&file, allowed)?;
    Ok(report)
}

impl Report {
    /// An error that lists the objections, if there are any.
    pub fn verdict(&self, file: &Path) -> Result<()> {
        if self.objections.is_empty() {
            return Ok(());
        }
        bail!("{}:\n  {}", file.display(), self.objections.join("\n  "))
    }

    fn object(&mut self, objection: impl Into<String>) {
        self.objections.push(objection.into());
    }

    fn check_headers(&mut self, file: &PeFile64, bytes: &[u8]) -> Result<()> {
        let ImageNtHeaders64 { file_header, optional_header, .. } = file.nt_headers();
        let machine = file_header.machine.get(LE);
        if machine != IMAGE_FILE_MACHINE_AMD64 {
            self.object(format!("machine {machine:#06x} is not x64"));
        }
        let subsystem = optional_header.subsystem.get(LE);
        if subsystem != IMAGE_SUBSYSTEM_NATIVE {
            self.object(format!("subsystem {subsystem} is not native (1)"));
        }
        let expected = pe::checksum(bytes)?;
        if self.checksum != expected {
            self.object(format!("checksum {:#010x} should be {expected:#010x}", self.checksum));
        }
        let traits = optional_header.dll_characteristics.get(LE);
        if traits & IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE == 0 {
            self.object("not relocatable: DYNAMIC_BASE is not set");
        }
        if traits & IMAGE_DLLCHARACTERISTICS_NX_COMPAT == 0 {
            self.object("NX_COMPAT is not set");
        }
        if file_header.characteristics.get(LE) & IMAGE_FILE_RELOCS_STRIPPED != 0 {
            self.object("not relocatable: its relocations were stripped");
        }
        Ok(())
    }

    fn check_sections(&mut self, file: &PeFile64) {
        for section in file.section_table().iter() {
            if rights(section, IMAGE_SCN_MEM_WRITE | IMAGE_SCN_MEM_EXECUTE) {
                // Memory integrity (HVCI) refuses such an image.
                self.object(format!("section {} is writable and executable", name(section)));
            }
        }
        let entry = self.entry_point;
        let holder = file.section_table().iter().find(|section| {
            let start = section.virtual_address.get(LE);
            let size = section.virtual_size.get(LE);
            (start..start.saturating_add(size)).contains(&entry)
        });
        match holder {
            None => self.object(format!("entry point {entry:#x} lies in no section")),
            Some(section) if !rights(section, IMAGE_SCN_MEM_EXECUTE) => {
                self.object(format!("entry point {entry:#x} lies in {}, which is not executable", name(section)))
            }
            Some(_) => {}
        }
    }

    fn check_imports(&mut self, file: &PeFile64, allowed: &Imports) -> Result<()> {
        for (module, name) in imports_of(file)? {
            if let Some(reason) = allowed.objection(&module, &name) {
                self.object(format!("import {module}!{name}: {reason}"));
            }
            self.imports.push(format!("{module}!{name}"));
        }
        Ok(())
    }
}

/// The modules that an image imports from.
pub fn imported_modules(bytes: &[u8]) -> Result<BTreeSet<String>> {
    let file = PeFile64::parse(bytes).context("not a 64-bit PE image")?;
    Ok(imports_of(&file)?.into_iter().map(|(module, _)| module).collect())
}

/// Where in the file the code at the entry point is.
pub fn entry_offset(bytes: &[u8]) -> Result<usize> {
    let file = PeFile64::parse(bytes).context("not a 64-bit PE image")?;
    let entry = file.nt_headers().optional_header.address_of_entry_point.get(LE);
    let (offset, _) = file.section_table().pe_file_range_at(entry).context("the entry point is in no section")?;
    Ok(usize::try_from(offset)?)
}

/// Module and name of every import; `#7` is an import by number.
fn imports_of(file: &PeFile64) -> Result<Vec<(String, String)>> {
    let mut imports = Vec::new();
    let Some(table) = file.import_table().context("broken import table")? else {
        return Ok(imports);
    };
    let mut descriptors = table.descriptors()?;
    while let Some(descriptor) = descriptors.next()? {
        let module = String::from_utf8_lossy(table.name(descriptor.name.get(LE))?);
        let mut thunks = table.thunks(descriptor.original_first_thunk.get(LE))?;
        while let Some(thunk) = thunks.next::<ImageNtHeaders64>()? {
            let name = if thunk.is_ordinal() {
                format!("#{}", thunk.ordinal())
            } else {
                let (_, name) = table.hint_name(thunk.address())?;
                String::from_utf8_lossy(name).into_owned()
            };
            imports.push((module.clone().into_owned(), name));
        }
    }
    Ok(imports)
}

fn rights(section: &ImageSectionHeader, wanted: u32) -> bool {
    section.characteristics.get(LE) & wanted == wanted
}

fn name(section: &ImageSectionHeader) -> String {
    String::from_utf8_lossy(section.raw_name()).into_owned()
}

fn section_text(section: &ImageSectionHeader) -> String {
    let write = if rights(section, IMAGE_SCN_MEM_WRITE) { "w" } else { "" };
    let execute = if rights(section, IMAGE_SCN_MEM_EXECUTE) { "x" } else { "" };
    format!("{} r{write}{execute}", name(section))
}
