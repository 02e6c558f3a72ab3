//! Writes `api/crds/`: `cargo run -p sluice-api --example crds`. The test `crds_on_disk` fails where this was forgotten.

use std::path::{Path, PathBuf};
use std::{error::Error, fs, io};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    // What no type makes any more must go, so the folder is written from scratch.
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    for manifest in sluice_api::manifests()? {
        let path: PathBuf = folder.join(&manifest.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, manifest.yaml)?;
        eprintln!("{}", path.display());
    }
    Ok(())
}
