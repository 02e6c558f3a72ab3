//! High availability by ZooKeeper: what Flink keeps there outlives a stop, so each start keeps its own.

use super::*;

fn asks(state: &str) -> World {
    let mut world = World::asks(state, 2);
    world.gate = Some(Verdict::Open);
    let options = json!({"high-availability.type": "zookeeper"});
    world.cluster.spec.flink_configuration = serde_json::from_value(options).unwrap();
    world
}

/// The line of the configuration file that is to be made.
fn id(steps: &[Step]) -> Option<String> {
    let mut texts = steps.iter().filter_map(|step| match step {
        Step::Ensure(built) => built
            .object
            .pointer("/data")?
            .as_object()?
            .values()
            .next_back(),
        _ => None,
    });
    let text = texts.next()?.as_str()?;
    let line = text.lines().find(|line| line.contains("cluster-id"))?;
    Some(line.to_owned())
}

fn own_records(status: &SessionClusterStatus) -> Option<(&str, &str)> {
    let mut all = status.conditions.iter();
    let told = all.find(|one| one.type_ == "OwnRecords")?;
    Some((&told.status, &told.message))
}

#[test]
fn what_a_start_keeps_is_found_by_no_other_start() {
    let mut world = asks("RUNNING");
    let plan = world.plan();
    let first = id(&plan.steps);
    assert_eq!(
        first.as_deref(),
        Some(r#"high-availability.cluster-id: "a-u-1000000""#)
    );
    let told = own_records(&plan.status).unwrap();
    assert_eq!(told.0, "True");
    assert!(told.1.contains("a-u-1000000"), "{}", told.1);
    // It is stored with the CPU, before anything is made: after a crash the same is made.
    world.cluster.status = Some(plan.status);
    world.now = Timestamp::from_second(1_000_060).unwrap();
    assert_eq!(id(&world.plan().steps), first);
    // As long as it runs nothing is made again for it.
    let mut runs = world.has(2);
    let plan = runs.plan();
    assert_eq!((steps(&plan), plan.status.state), (vec![], Some(Running)));
    runs.cluster.status = Some(plan.status);
    assert_eq!(steps(&runs.plan()), Vec::<String>::new());
    // It is stopped and started again.
    let mut world = asks("STOPPED");
    world.cluster.status = runs.cluster.status;
    world.proof = Proof::Read;
    let stopped = world.plan().status;
    assert_eq!(own_records(&stopped).unwrap().0, "False");
    let mut world = asks("RUNNING");
    world.cluster.status = Some(stopped);
    world.now = Timestamp::from_second(1_000_120).unwrap();
    let again = id(&world.plan().steps);
    assert!(again.is_some() && again != first, "{again:?}");
}

/// What an earlier release has started keeps its records where that one has told Flink.
#[test]
fn what_runs_without_is_not_restarted_for_it() {
    let world = asks("RUNNING").was(Running, 3000, None).has(2);
    let plan = world.plan();
    assert_eq!(steps(&plan), Vec::<String>::new());
    assert_eq!(own_records(&plan.status), None);
    // Nor is it told another place when something of it is made again.
    let plan = world.without(&["a-sc-config"]).plan();
    assert_eq!(steps(&plan), ["+a-sc-config"]);
    assert_eq!(id(&plan.steps), None);
}

#[test]
fn no_other_cluster_speaks_of_it() {
    let kubernetes = json!({"high-availability.type": "kubernetes"});
    let folder = Some(r#"high-availability.cluster-id: "a-u""#.to_owned());
    for (options, expected) in [(json!({}), None), (kubernetes, folder)] {
        let mut world = asks("RUNNING");
        world.flink_id = Some(FlinkId::Free);
        world.cluster.spec.flink_configuration = serde_json::from_value(options).unwrap();
        let plan = world.plan();
        assert_eq!(own_records(&plan.status), None);
        assert_eq!(id(&plan.steps), expected);
    }
}
