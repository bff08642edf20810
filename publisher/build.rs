//! Which files is the console made of? Lists those of `assets/console` for `src/http/console`, each as it is and compressed, so that a
//! publisher needs no folder beside it, and nobody Node who builds one.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::env;
use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("assets/console");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut files = Vec::new();
    collect(&folder, &mut files)?;
    files.sort();
    let mut list = String::from("static FILES: &[File] = &[\n");
    for (at, path) in files.iter().enumerate() {
        let name = path.strip_prefix(&folder)?.to_string_lossy().into_owned();
        let compressed = out.join(format!("console-{at}.gz"));
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&fs::read(path)?)?;
        fs::write(&compressed, encoder.finish()?)?;
        list += &format!(
            "File {{ name: {name:?}, plain: include_bytes!({path:?}), gzip: include_bytes!({compressed:?}) }},\n"
        );
    }
    fs::write(out.join("console.rs"), list + "];\n")?;
    let mut said = std::io::stdout();
    writeln!(said, "cargo::rerun-if-changed={}", folder.display())?;
    writeln!(said, "cargo::rerun-if-changed=build.rs")?;
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => collect(&path, files)?,
            false => files.push(path),
        }
    }
    Ok(())
}
