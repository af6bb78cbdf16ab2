//! Tells the linker how a release binary is laid out.
//!
//! Owns: the order of functions and constants in the binary, the form of its relocations.
//! Knows nothing of: what the code does; a name in the list that no longer exists is without
//! effect, a function that is missing from it only costs memory.
//!
//! The kernel maps 64 KiB of a file around each page that is touched. An exporter runs 0.7 MB of
//! code, but spread over a text of 26 MB it made 11 MB of it resident. The functions that exporters
//! run (`link/exporters.txt`, recorded by `link/record.py`) therefore lie side by side, before all
//! others, and the constants of the crates they come from likewise. Decision 0078.
//!
//! Invariants
//! - LNK1  Only the layout changes: without the list the program is the same.
//! - LNK2  Linkers that read no script are served by `SEXTANT_PLAIN_LINK=1`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

/// Crates whose constants exporters read.
const CONSTANTS: [&str; 20] = [
    "exporters",
    "sextant",
    "std",
    "core",
    "alloc",
    "tokio",
    "hyper",
    "hyper_util",
    "http",
    "axum",
    "axum_core",
    "clap_builder",
    "jiff",
    "jiff_core",
    "httpdate",
    "once_cell",
    "regex_automata",
    "tracing_subscriber",
    "tokio_postgres",
    "matchit",
];

/// Symbols of the rooms that exporters are made of: functions that are newer than the list, or that
/// were not seen because they run by chance, lie behind those of the list and not anywhere.
const ROOMS: [&str; 7] = [
    "*9exporters7metrics*",
    "*7sextant9exporting*",
    "*7sextant4http8listener*",
    "*7sextant9lifecycle9exporters*",
    "*5hyper5proto2h1*",
    "*10hyper_util2rt*",
    "_rjem_je_*",
];

/// The first version of the C library that reads packed relocations.
const PACKED_RELOCATIONS: (u32, u32) = (2, 36);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=link/exporters.txt");
    println!("cargo::rerun-if-env-changed=SEXTANT_PLAIN_LINK");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|v| v == value);
    let plain = env::var_os("SEXTANT_PLAIN_LINK").is_some();
    if plain || !is("PROFILE", "release") || !is("CARGO_CFG_TARGET_OS", "linux") {
        return Ok(());
    }
    let names = fs::read_to_string("link/exporters.txt")?;
    let out = PathBuf::from(env::var("OUT_DIR")?).join("exporters.ld");
    fs::write(&out, script(&names)?)?;
    println!("cargo::rustc-link-arg-bin=sextant=-Wl,-T,{}", out.display());
    if env::var("HOST") == env::var("TARGET") && packs_relocations() {
        println!("cargo::rustc-link-arg-bin=sextant=-Wl,-z,pack-relative-relocs");
    }
    Ok(())
}

/// The sections with what `names` lists first, one symbol pattern per line. There is still one
/// section of code: tools that read profiles know no other.
fn script(names: &str) -> Result<String, std::fmt::Error> {
    let mut s = String::from("SECTIONS {\n  .rodata_exporters : {\n");
    for c in CONSTANTS {
        // The linker sees one object per crate and part: `sextant-HASH.crate-HASH.crate.HASH…`. Of
        // the program's own crate there is no second name. Strings and numbers that the linker
        // merges (`.rodata.str…`, `.rodata.cst…`) stay where they are.
        let object = match c {
            "sextant" => "*.sextant.*".to_owned(),
            _ => format!("*.{c}-*"),
        };
        writeln!(s, "    {object}(.rodata..L* .rodata.anon.* .rodata._*)")?;
    }
    s.push_str("  }\n} INSERT BEFORE .rodata;\nSECTIONS {\n  .text : {\n");
    // Where every program begins.
    s.push_str("    *crt1.o(.text)\n");
    for name in names.lines().filter(|l| !l.starts_with('#')) {
        // What follows a name is a mark of the optimizer.
        writeln!(
            s,
            "    *(.text.{name}* .text.unlikely.{name}* .text.startup.{name}*)"
        )?;
    }
    for room in ROOMS {
        writeln!(s, "    *(.text.{room})")?;
    }
    s.push_str("    *(.text .text.*)\n  }\n} INSERT BEFORE .init;\n");
    Ok(s)
}

/// Whether this machine's C library reads packed relocations. They are a tenth of the size.
fn packs_relocations() -> bool {
    let asked = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let said = asked.map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
    let version = said.ok().and_then(|s| {
        let (major, minor) = s.trim().strip_prefix("glibc ")?.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    });
    version.is_some_and(|v: (u32, u32)| v >= PACKED_RELOCATIONS)
}
