use super::*;
use rstest::rstest;
use serde_json::{Value, json};

const MIB: u64 = 1 << 20;

fn judge(role: Role, mebibytes: u64, configuration: &Value) -> Result<(), MemoryFault> {
    let options = Options::of(Some(configuration), Some(FlinkVersion::new(1, 20)));
    suffices(role, Bytes(mebibytes * MIB), &options)
}

fn least_mib(role: Role, configuration: &Value) -> Option<u64> {
    let options = Options::of(Some(configuration), Some(FlinkVersion::new(1, 20)));
    least(role, &options).map(|bytes| bytes.0 / MIB)
}

/// The first figures were measured on a real Flink 1.20.1; the others follow from its derivation.
#[rstest]
#[case::jobmanager(Role::JobManager, json!({}), 577)]
#[case::taskmanager(Role::TaskManager, json!({}), 982)]
#[case::no_managed_memory(Role::TaskManager, json!({"taskmanager.memory.managed.size": "0"}), 768)]
#[case::no_managed_fraction(Role::TaskManager, json!({"taskmanager.memory.managed.fraction": "0.0"}), 768)]
#[case::fixed_managed(Role::TaskManager, json!({"taskmanager.memory.managed.size": "1g"}), 1871)]
#[case::more_metaspace(Role::JobManager, json!({"jobmanager.memory.jvm-metaspace.size": "512m"}), 833)]
#[case::less_overhead(Role::JobManager, json!({"jobmanager.memory.jvm-overhead.min": "64m"}), 449)]
#[case::more_off_heap(Role::JobManager, json!({"jobmanager.memory.off-heap.size": "1g"}), 1473)]
#[case::explicit_heap(Role::JobManager, json!({"jobmanager.memory.heap.size": "512m"}), 1088)]
#[case::flink_size(Role::JobManager, json!({"jobmanager.memory.flink.size": "600m"}), 1048)]
#[case::task_heap(Role::TaskManager, json!({"taskmanager.memory.task.heap.size": "512m"}), 1835)]
#[case::task_heap_and_managed(Role::TaskManager,
    json!({"taskmanager.memory.task.heap.size": "512m", "taskmanager.memory.managed.size": "256m"}), 1586)]
#[case::more_network(Role::TaskManager, json!({"taskmanager.memory.network.min": "512m"}), 1728)]
fn the_least_that_suffices(
    #[case] role: Role,
    #[case] configuration: Value,
    #[case] expected: u64,
) {
    assert_eq!(least_mib(role, &configuration), Some(expected));
    assert_eq!(judge(role, expected, &configuration), Ok(()));
    assert_eq!(
        judge(role, expected - 1, &configuration),
        Err(MemoryFault::TooLittle)
    );
}

#[test]
fn a_rest_that_is_more_than_overhead_may_be_is_refused_as_flink_does() {
    let configuration = json!({"taskmanager.memory.flink.size": "1g"});
    assert_eq!(judge(Role::TaskManager, 2048, &configuration), Ok(()));
    assert_eq!(
        judge(Role::TaskManager, 8192, &configuration),
        Err(MemoryFault::TooMuch {
            part: "taskmanager.memory.jvm-overhead.max",
            most: Bytes(1 << 30)
        })
    );
}

#[test]
fn network_memory_is_bounded_before_1_17_only() {
    let configuration = json!({"taskmanager.memory.task.heap.size": "128m"});
    let judge = |minor| {
        let options = Options::of(Some(&configuration), Some(FlinkVersion::new(1, minor)));
        suffices(Role::TaskManager, Bytes(8192 * MIB), &options)
    };
    assert_eq!(
        judge(16),
        Err(MemoryFault::TooMuch {
            part: "taskmanager.memory.network.max",
            most: Bytes(1 << 30)
        })
    );
    assert_eq!(judge(17), Ok(()));
}

#[rstest]
#[case(json!({"taskmanager.memory.managed.fraction": "lots"}), "taskmanager.memory.managed.fraction",
    "\"lots\" is no fraction; write a number from 0 to less than 1, such as 0.4")]
#[case(json!({"taskmanager.memory.managed.fraction": "1.1"}), "taskmanager.memory.managed.fraction",
    "\"1.1\" is no fraction; write a number from 0 to less than 1, such as 0.4")]
#[case(json!({"taskmanager.memory.managed.fraction": "NaN"}), "taskmanager.memory.managed.fraction",
    "\"NaN\" is no fraction; write a number from 0 to less than 1, such as 0.4")]
#[case(json!({"taskmanager.memory.managed.size": "1Gi"}), "taskmanager.memory.managed.size",
    "\"1Gi\" is no size that Flink can read; Flink reads whole numbers with k, m, g or t; write 1024m")]
#[case(json!({"taskmanager.memory.network.min": "2g", "taskmanager.memory.network.max": "1g"}), "taskmanager.memory.network.min",
    "2Gi is more than taskmanager.memory.network.max has (1Gi); raise that or lower this")]
#[case(json!({"taskmanager.memory.flink.size": "300m"}), "taskmanager.memory.flink.size",
    "300Mi is less than framework, task, managed and network memory need together; write more")]
#[case(json!({"taskmanager.memory.task.heap.size": "1m", "taskmanager.memory.managed.size": "1m", "taskmanager.memory.network.fraction": "1"}),
    "taskmanager.memory.network.fraction", "\"1\" is no fraction; write a number from 0 to less than 1, such as 0.4")]
#[case(json!({"taskmanager.memory.task.heap.size": "1m", "taskmanager.memory.managed.size": "1m", "taskmanager.memory.network.fraction": "0.99999999999"}),
    "taskmanager.memory.network.fraction", "leaves nothing for anything else; write less, such as 0.1")]
fn options_that_flink_could_not_use_are_named(
    #[case] configuration: Value,
    #[case] key: &str,
    #[case] message: &str,
) {
    assert_eq!(
        judge(Role::TaskManager, 4096, &configuration),
        Err(MemoryFault::Option(OptionFault::new(key, message)))
    );
    assert_eq!(least_mib(Role::TaskManager, &configuration), None);
}

#[rstest]
#[case(json!({"jobmanager.memory.heap.size": "2g", "jobmanager.memory.flink.size": "1g"}),
    "1Gi is less than jobmanager.memory.heap.size (2Gi); write more, or set only one of the two")]
#[case(json!({"jobmanager.memory.heap.size": "1g", "jobmanager.memory.off-heap.size": "128m", "jobmanager.memory.flink.size": "1g"}),
    "is 1Gi, but jobmanager.memory.heap.size and jobmanager.memory.off-heap.size together are 1152Mi; \
     set only one of jobmanager.memory.heap.size and jobmanager.memory.flink.size")]
#[case(json!({"jobmanager.memory.flink.size": "128m"}),
    "128Mi leaves no heap beside jobmanager.memory.off-heap.size (128Mi); write more")]
fn contradictions_of_the_jobmanager_are_named(#[case] configuration: Value, #[case] message: &str) {
    assert_eq!(
        judge(Role::JobManager, 4096, &configuration),
        Err(MemoryFault::Option(OptionFault::new(
            "jobmanager.memory.flink.size",
            message
        )))
    );
}

#[test]
fn what_is_left_of_the_jobmanagers_memory_is_outside_its_heap() {
    let configuration =
        json!({"jobmanager.memory.heap.size": "1g", "jobmanager.memory.flink.size": "1100m"});
    assert_eq!(
        least_mib(Role::JobManager, &configuration),
        Some(1100 + 256 + 192)
    );
}

#[test]
fn all_memory_managed_means_that_no_amount_suffices() {
    let configuration = json!({"taskmanager.memory.managed.fraction": "0.999999999"});
    assert_eq!(least_mib(Role::TaskManager, &configuration), None);
}

/// `TaskManagerOptions` of 1.20.5 and 2.0.2: the fraction of managed memory has no older name.
#[test]
fn old_names_count_in_flink_2_too() {
    let least = |configuration: &Value, version| {
        let options = Options::of(Some(configuration), Some(version));
        least(Role::TaskManager, &options)
    };
    for version in [FlinkVersion::new(1, 20), FlinkVersion::new(2, 0)] {
        let usual = least(&json!({}), version);
        let old = least(&json!({"taskmanager.memory.size": "0m"}), version);
        let new = least(&json!({"taskmanager.memory.managed.size": "0m"}), version);
        assert!(old == new && old < usual, "{version}: {old:?} {new:?}");
        let none = least(&json!({"taskmanager.memory.fraction": "0"}), version);
        assert_eq!(none, usual, "{version}");
    }
}

#[test]
fn versions_before_the_memory_model_are_not_judged_by_it() {
    let options = Options::of(None, Some(FlinkVersion::new(1, 8)));
    assert_eq!(suffices(Role::TaskManager, Bytes(MIB), &options), Ok(()));
    assert_eq!(suffices(Role::JobManager, Bytes(MIB), &options), Ok(()));
}

proptest::proptest! {
    #[test]
    fn more_memory_is_never_too_little(
        role in proptest::sample::select(vec![Role::JobManager, Role::TaskManager]),
        keys in proptest::collection::btree_map(proptest::sample::select(vec![
            "taskmanager.memory.managed.size", "taskmanager.memory.task.heap.size", "taskmanager.memory.flink.size",
            "taskmanager.memory.network.min", "taskmanager.memory.network.max", "jobmanager.memory.heap.size",
            "jobmanager.memory.flink.size", "jobmanager.memory.off-heap.size", "jobmanager.memory.jvm-metaspace.size",
            "taskmanager.memory.managed.fraction", "taskmanager.memory.jvm-overhead.fraction",
        ]), proptest::sample::select(vec!["0", "1g", "64m", "300m", "0.5", "1", "junk", "9223372036854775807"]), 0..5),
        a in 0_u64..1 << 24,
        b in 0_u64..1 << 24,
    ) {
        let configuration = json!(keys);
        let (less, more) = (a.min(b), a.max(b));
        if judge(role, less, &configuration).is_ok() {
            proptest::prop_assert_ne!(judge(role, more, &configuration), Err(MemoryFault::TooLittle));
        }
    }
}
