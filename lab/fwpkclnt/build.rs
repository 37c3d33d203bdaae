//! Makes `ImageEntry` the entry point of the image; `src/entry.rs` says why.

fn main() {
    if std::env::var_os("CARGO_CFG_WINDOWS").is_some() {
        println!("cargo:rustc-cdylib-link-arg=-Wl,--entry=ImageEntry");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
