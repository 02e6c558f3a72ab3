//! The targets without a fuzzing engine: seeds as they are, then seeds with bytes changed at random, for a bounded time.
//!
//! `SLUICE_FUZZ_SECONDS` (default 2) is the time of each target. What libFuzzer found once stands in `regressions/TARGET/`
//! and is always run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

/// xorshift64*: no crate is needed to be arbitrary, and a failure comes back with its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).unwrap_or_default()
    }
}

fn mutate(data: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    for _ in 0..=random.below(6) {
        let at = random.below(data.len() + 1);
        match random.below(6) {
            0 if at < data.len() => data[at] = random.next().to_le_bytes()[3],
            1 => data.insert(at, random.next().to_le_bytes()[3]),
            2 if at < data.len() => {
                let end = (at + 1 + random.below(8)).min(data.len());
                data.drain(at..end);
            }
            3 => {
                let from = random.below(other.len() + 1);
                let part = other[from..(from + random.below(40)).min(other.len())].to_vec();
                data.splice(at..at, part);
            }
            4 => data.truncate(at),
            _ => data.extend_from_slice(&random.next().to_le_bytes()),
        }
        data.truncate(1 << 16);
    }
}

fn files(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).expect("a seed can be read"))
        .collect()
}

#[test]
fn every_target_stands_a_while_of_changed_seeds() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let seconds = std::env::var("SLUICE_FUZZ_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(2.0);
    for (name, target) in sluice_fuzz::TARGETS {
        let mut seeds = files(&here.join("seeds").join(name));
        seeds.extend(files(&here.join("regressions").join(name)));
        let run = |data: &[u8]| {
            if catch_unwind(AssertUnwindSafe(|| target(data))).is_err() {
                let path = std::env::temp_dir().join(format!("sluice-fuzz-{name}"));
                std::fs::write(&path, data).expect("the finding is kept");
                panic!(
                    "{name} fails on {} bytes, kept in {}",
                    data.len(),
                    path.display()
                );
            }
        };
        for seed in &seeds {
            run(seed);
        }
        if seeds.is_empty() {
            seeds.push(Vec::new());
        }
        let mut random = Random(0x9E37_79B9_7F4A_7C15);
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        let mut runs = 0_u64;
        while Instant::now() < end {
            let mut data = seeds[random.below(seeds.len())].clone();
            let other = seeds[random.below(seeds.len())].clone();
            mutate(&mut data, &other, &mut random);
            run(&data);
            runs += 1;
        }
        eprintln!("{name}: {} seeds, {runs} changed ones", seeds.len());
        assert!(runs > 0, "{name} was not run at all");
    }
}
