//! What Sluice is made of, for whoever has to know: a bill of materials in CycloneDX's JSON, made of the `Cargo.lock` that this binary was
//! built with.
//!
//! The lock names every package of the workspace, those of tests and build scripts too: more than the binary holds, and nothing less.
//! There is neither a time nor a serial number in it, so that the same sources make the same bytes.

use serde_json::{Value, json};

/// Of this build.
const LOCK: &str = include_str!("../../../Cargo.lock");

/// The bill of materials.
pub(super) fn cyclonedx() -> Value {
    let version = env!("CARGO_PKG_VERSION");
    let components: Vec<Value> = packages(LOCK)
        .filter(|package| package.source.is_some())
        .map(|package| package.component())
        .collect();
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {
            "type": "application", "bom-ref": "sluice", "name": "sluice", "version": version,
            "licenses": [{"license": {"id": "Apache-2.0"}}],
        }},
        "components": components,
    })
}

/// One `[[package]]` of the lock.
#[derive(Default)]
struct Package<'a> {
    name: &'a str,
    version: &'a str,
    source: Option<&'a str>,
    checksum: Option<&'a str>,
}

impl Package<'_> {
    fn component(&self) -> Value {
        let url = format!("pkg:cargo/{}@{}", self.name, self.version);
        let mut component = json!({
            "type": "library", "bom-ref": url, "name": self.name, "version": self.version, "purl": url,
        });
        if let (Some(checksum), Some(fields)) = (self.checksum, component.as_object_mut()) {
            let hashes = json!([{"alg": "SHA-256", "content": checksum}]);
            fields.insert("hashes".to_owned(), hashes);
        }
        component
    }
}

/// Cargo writes one field a line, and lists below them.
fn packages(lock: &str) -> impl Iterator<Item = Package<'_>> {
    lock.split("[[package]]\n").skip(1).map(|text| {
        let mut package = Package::default();
        for line in text.lines() {
            let Some((key, value)) = line.split_once(" = ") else {
                continue;
            };
            let value = value.trim_matches('"');
            match key {
                "name" => package.name = value,
                "version" => package.version = value,
                "source" => package.source = Some(value),
                "checksum" => package.checksum = Some(value),
                _ => {}
            }
        }
        package
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_of_the_lock_is_in_it_once_with_its_hash() {
        let bill = cyclonedx();
        let components = bill["components"].as_array().unwrap();
        assert_eq!(components.len(), LOCK.matches("\nsource = ").count());
        let kube = components
            .iter()
            .find(|component| component["name"] == "kube")
            .unwrap();
        assert_eq!(kube["purl"], "pkg:cargo/kube@5.0.0");
        assert_eq!(kube["hashes"][0]["content"].as_str().unwrap().len(), 64);
        let mut names: Vec<&str> = components
            .iter()
            .filter_map(|component| component["bom-ref"].as_str())
            .collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
