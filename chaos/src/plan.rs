//! What is done and what goes wrong in a run: a pure function of the seed. Who does it is `client` and `faults`.

use crate::dice::Dice;
use crate::place::{Kind, LENIENT, NAMES, NAMESPACES, Place, Quota};
use std::fmt;
use std::time::Duration;

/// An operation of a client. One that needs an object makes it where there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its number in the run, from 0.
    pub index: u64,
    /// What is done.
    pub verb: Verb,
    /// To whom.
    pub place: Place,
    /// Whether it waits for others at the same place.
    pub haste: Haste,
    /// A roll for everything that the verb leaves open, such as sizes of a new object.
    pub roll: u64,
}

/// What a client does that meets another one at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Haste {
    /// It waits until that one is answered.
    Waits,
    /// It goes on at once.
    Races,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Make it run.
    Start,
    /// Stop or suspend it.
    Stop,
    /// Make it run if it does not, and stop it if it does.
    Flip,
    /// Set the number of TaskManagers in the spec.
    Count(u64),
    /// Set it through `/scale`.
    Scale(u64),
    /// Another version and other CPU per TaskManager.
    Upgrade,
    /// Change metadata only.
    Touch,
    /// Delete it.
    Delete,
    /// Delete it, and make one of the same name at once.
    Recreate,
    /// Edit a limit, in CPU.
    Limit(Quota, u64),
    /// Edit whom the ClusterCpuQuota over some namespaces counts.
    Scope(Vec<String>),
    /// Delete the quota of a namespace, and make it anew with a limit in CPU.
    Renew(Quota, u64),
    /// Edit the label `sluice.dev/quota` of the lenient namespace.
    Mode(&'static str),
}

impl Verb {
    /// For the table.
    pub fn name(&self) -> &'static str {
        match self {
            Verb::Start => "start",
            Verb::Stop => "stop",
            Verb::Flip => "flip",
            Verb::Count(_) => "scale",
            Verb::Scale(_) => "/scale",
            Verb::Upgrade => "upgrade",
            Verb::Touch => "touch",
            Verb::Delete => "delete",
            Verb::Recreate => "recreate",
            Verb::Limit(..) => "limit",
            Verb::Scope(_) => "scope",
            Verb::Renew(..) => "renew",
            Verb::Mode(_) => "mode",
        }
    }
}

/// A process of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// One of the webhooks.
    Webhook(usize),
    /// One of the controllers.
    Controller(usize),
    /// kube-apiserver.
    ApiServer,
    /// etcd.
    Etcd,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Target::Webhook(_) => "webhook",
            Target::Controller(_) => "controller",
            Target::ApiServer => "kube-apiserver",
            Target::Etcd => "etcd",
        })
    }
}

/// A way that bytes take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// From the API server to etcd.
    Etcd,
    /// From the API server to the webhooks.
    Webhooks,
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// SIGKILL, and a new process after a while.
    Kill(Target, Duration),
    /// SIGSTOP, and SIGCONT after a while.
    Freeze(Target, Duration),
    /// All connections of a link are reset.
    Reset(Link),
    /// Everything on a link takes this much longer, for a while.
    Slow(Link, Duration, Duration),
    /// So many of a hundred watches of a process stand still for a while; its requests go on.
    Stale(Target, u64, Duration),
    /// The controllers' Lease is deleted as soon as one has it, and most of their watches stand still: two lead at once, with different news.
    Rivals(Duration),
    /// The sibling webhook refuses so many of a hundred and takes up to so long, for a while.
    Sibling(u64, Duration, Duration),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let long = |time: &Duration| if *time >= LONG { " (40 s)" } else { "" };
        match self {
            What::Kill(target, _) => write!(f, "SIGKILL {target}"),
            What::Freeze(target, time) => write!(f, "SIGSTOP {target}{}", long(time)),
            What::Reset(Link::Etcd) => f.write_str("connections reset, API server to etcd"),
            What::Reset(Link::Webhooks) => f.write_str("connections reset, API server to webhook"),
            What::Slow(Link::Etcd, ..) => f.write_str("slow etcd"),
            What::Slow(Link::Webhooks, ..) => f.write_str("slow way to the webhooks"),
            What::Stale(target, percent, time) => {
                let half = if *percent < 100 { "half of the " } else { "" };
                write!(f, "{half}watches of a {target} stale{}", long(time))
            }
            What::Rivals(_) => f.write_str("two leaders, most of their watches stale"),
            What::Sibling(..) => f.write_str("sibling webhook refuses"),
        }
    }
}

/// When, in operations begun, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// It happens when this operation begins.
    pub at: u64,
    /// What.
    pub what: What,
}

/// How long the long ones last: longer than a handler's 34 s.
pub const LONG: Duration = Duration::from_secs(40);

/// So many operations make a stretch; limits and where most of the work is differ from one to the next.
const STRETCH: u64 = 200;
/// In one of so many stretches something stands still for long.
const FREEZES: u64 = 12;
/// The ordeal of a stretch begins with this operation of it, when it has got going.
const ORDEAL: u64 = 30;

/// A stretch of the run.
#[derive(Clone, Debug)]
struct Stretch {
    /// Nine of ten operations are here.
    namespaces: Vec<String>,
    /// The quota that all of these crowd at, if any: its limit is far under what they would use.
    crowded: Option<Quota>,
}

fn stretch(seed: u64, number: u64) -> Stretch {
    let everywhere = || {
        (0..NAMESPACES)
            .map(|index| format!("chaos-{index}"))
            .collect()
    };
    let mut dice = Dice::new(seed, (1 << 40) + number);
    // Half of them: else more is refused than done.
    if number.wrapping_add(seed).is_multiple_of(2) {
        return Stretch {
            namespaces: everywhere(),
            crowded: None,
        };
    }
    let enforcing = Quota::all()
        .into_iter()
        .filter(|(_, _, who)| *who != [LENIENT]);
    let mut enforcing: Vec<_> = enforcing.collect();
    let chosen = usize::try_from(dice.below(enforcing.len() as u64)).unwrap_or_default();
    let (quota, _, who) = enforcing.swap_remove(chosen);
    let all = who.iter().any(|name| name == "*");
    Stretch {
        namespaces: if all { everywhere() } else { who },
        crowded: Some(quota),
    }
}

/// The operation with this number.
pub fn operation(seed: u64, index: u64) -> Operation {
    let mut dice = Dice::new(seed, 1 + index * 2);
    let stretch = stretch(seed, index / STRETCH);
    let namespace = if dice.percent(90) {
        let one = usize::try_from(dice.below(stretch.namespaces.len() as u64));
        stretch.namespaces.get(one.unwrap_or_default()).cloned()
    } else {
        None
    };
    let place = Place {
        kind: dice.weighted(
            &[
                (45, Kind::SessionCluster),
                (30, Kind::Deployment),
                (25, Kind::FlinkDeployment),
            ],
            Kind::SessionCluster,
        ),
        namespace: namespace.unwrap_or_else(|| format!("chaos-{}", dice.below(NAMESPACES))),
        name: format!("w{}", dice.below(NAMES)),
    };
    let verb = match dice.below(100) {
        0..12 => Verb::Start,
        12..18 => Verb::Stop,
        18..60 => Verb::Flip,
        60..70 => Verb::Count(dice.between(1, 5)),
        70..79 => Verb::Scale(dice.between(1, 5)),
        79..86 => Verb::Upgrade,
        86 => Verb::Touch,
        87 => news(&mut dice),
        88..91 => Verb::Delete,
        91..98 => Verb::Recreate,
        98 => limit(&mut dice),
        _ => Verb::Mode(dice.weighted(&[(5, "enforce"), (3, "warn"), (2, "off")], "enforce")),
    };
    let verb = opening(&stretch, index % STRETCH, &mut dice).unwrap_or(verb);
    Operation {
        index,
        verb,
        place,
        roll: dice.roll(),
        haste: dice.weighted(&[(85, Haste::Waits), (15, Haste::Races)], Haste::Races),
    }
}

/// A stretch begins with its limits.
fn opening(stretch: &Stretch, step: u64, dice: &mut Dice) -> Option<Verb> {
    let step = usize::try_from(step).ok()?;
    let (quota, first, _) = Quota::all().into_iter().nth(step)?;
    let cpu = if stretch.crowded.as_ref() == Some(&quota) {
        dice.between(first * 2 / 5, first * 4 / 5)
    } else {
        dice.between(first * 3 / 2, first * 5 / 2)
    };
    Some(Verb::Limit(quota, cpu))
}

/// From far under what is in use to more than all need.
fn limit(dice: &mut Dice) -> Verb {
    let quotas = Quota::all();
    let chosen = usize::try_from(dice.below(quotas.len() as u64)).unwrap_or_default();
    match quotas.into_iter().nth(chosen) {
        Some((quota, first, _)) => {
            let cpu = dice.between(first / 2, first * 5 / 2);
            Verb::Limit(quota, cpu)
        }
        None => Verb::Touch,
    }
}

/// A quota that comes to count what it did not count before.
fn news(dice: &mut Dice) -> Verb {
    if dice.percent(50) {
        let all = (0..NAMESPACES).map(|index| format!("chaos-{index}"));
        let mut names: Vec<_> = all.filter(|name| name != LENIENT).collect();
        let left_out = usize::try_from(dice.below(NAMESPACES)).unwrap_or_default();
        if left_out < names.len() {
            names.remove(left_out);
        }
        return Verb::Scope(names);
    }
    match limit(dice) {
        Verb::Limit(Quota::Cluster(_), cpu) => {
            let namespace = format!("chaos-{}", dice.below(NAMESPACES));
            Verb::Renew(Quota::Of(namespace), cpu.min(60))
        }
        Verb::Limit(quota, cpu) => Verb::Renew(quota, cpu),
        other => other,
    }
}

/// The faults of a run of so many operations, in order.
pub fn faults(seed: u64, operations: u64) -> Vec<Fault> {
    let mut dice = Dice::new(seed, 0);
    let mut faults = Vec::new();
    let mut at = 20;
    loop {
        at += dice.between(30, 130);
        if at >= operations {
            break;
        }
        let what = fault(&mut dice);
        faults.push(Fault { at, what });
    }
    let ordeals = (0..=operations / STRETCH).flat_map(|number| ordeal(seed, number));
    faults.extend(ordeals.filter(|fault| fault.at < operations));
    faults.sort_by_key(|fault| fault.at);
    faults
}

/// What comes together on purpose, once in each stretch: what a ledger must stand is seldom one fault alone.
fn ordeal(seed: u64, number: u64) -> Vec<Fault> {
    let mut dice = Dice::new(seed, (1 << 41) + number);
    let at = number * STRETCH + ORDEAL;
    let one = usize::try_from(dice.below(3)).unwrap_or_default();
    let next = (one + 1) % 3;
    let seconds = |seconds| Duration::from_secs(seconds);
    let whats = match number.wrapping_add(seed) % 4 {
        // Two leaders at once, with different news. Seldom: each new leader looks at old holds 90 s later only.
        0 => vec![What::Rivals(seconds(15))],
        // A webhook admits by what it knew a while ago, and another one dies.
        1 => vec![
            What::Stale(Target::Webhook(one), 100, seconds(6)),
            What::Kill(Target::Webhook(next), Duration::from_millis(300)),
        ],
        // Quotas are written slowly, while those who ask change webhooks.
        2 => vec![
            What::Slow(Link::Etcd, Duration::from_millis(40), seconds(5)),
            What::Reset(Link::Webhooks),
        ],
        // All webhooks know a part only.
        _ => (0..3)
            .map(|webhook| What::Stale(Target::Webhook(webhook), 50, seconds(5)))
            .collect(),
    };
    let whats = whats.into_iter().chain(long_freeze(number, one));
    (0..)
        .zip(whats)
        .map(|(step, what)| Fault {
            at: at + step * 10,
            what,
        })
        .collect()
}

/// By turns each sort of process, so that a run of ten thousand operations sees all of them.
fn long_freeze(stretch: u64, one: usize) -> Option<What> {
    let target = match stretch / FREEZES % 4 {
        0 => Target::ApiServer,
        1 => Target::Webhook(one),
        2 => Target::Etcd,
        _ => Target::Controller(one % 2),
    };
    (stretch % FREEZES == FREEZES / 2).then_some(What::Freeze(target, LONG))
}

fn fault(dice: &mut Dice) -> What {
    let seconds = |dice: &mut Dice, first, last| Duration::from_millis(dice.between(first, last));
    let index = |dice: &mut Dice, end| usize::try_from(dice.below(end)).unwrap_or_default();
    let is_long = dice.percent(3);
    let target = match dice.below(100) {
        0..50 => Target::Webhook(index(dice, 3)),
        50..72 => Target::Controller(index(dice, 2)),
        72..87 => Target::ApiServer,
        _ => Target::Etcd,
    };
    let servant = if dice.percent(60) {
        Target::Webhook(index(dice, 3))
    } else {
        Target::Controller(index(dice, 2))
    };
    let percent = if dice.percent(50) { 100 } else { 50 };
    match dice.below(100) {
        0..28 => What::Kill(target, seconds(dice, 0, 1500)),
        28..46 if is_long => What::Freeze(target, LONG),
        28..46 => What::Freeze(target, seconds(dice, 100, 3000)),
        46..53 => What::Reset(Link::Etcd),
        53..62 => What::Reset(Link::Webhooks),
        62..68 => What::Slow(Link::Etcd, seconds(dice, 5, 100), seconds(dice, 500, 4000)),
        68..74 => What::Slow(
            Link::Webhooks,
            seconds(dice, 5, 300),
            seconds(dice, 500, 4000),
        ),
        74..91 if is_long => What::Stale(servant, percent, LONG),
        74..91 => What::Stale(servant, percent, seconds(dice, 500, 8000)),
        _ => {
            let percent = dice.between(5, 40);
            What::Sibling(percent, seconds(dice, 50, 1500), seconds(dice, 1000, 5000))
        }
    }
}

/// Whether a namespace enforces its quotas throughout.
pub fn enforces(namespace: &str) -> bool {
    namespace != LENIENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_run() {
        let run = |seed| {
            (0..200)
                .map(|index| operation(seed, index))
                .collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        assert_eq!(faults(7, 3000), faults(7, 3000));
        assert_ne!(faults(7, 3000), faults(8, 3000));
        let short = faults(7, 1000);
        assert_eq!(
            short,
            faults(7, 3000)[..short.len()],
            "a longer run begins alike"
        );
    }

    #[test]
    fn everything_happens_in_ten_thousand_operations() {
        let verbs: std::collections::BTreeSet<_> = (0..10_000)
            .map(|index| operation(1, index).verb.name())
            .collect();
        assert_eq!(verbs.len(), 13);
        let faults: std::collections::BTreeSet<_> = faults(1, 10_000)
            .iter()
            .map(|fault| fault.what.to_string())
            .collect();
        for one in [
            "SIGKILL etcd",
            "SIGKILL kube-apiserver",
            "SIGKILL webhook",
            "SIGKILL controller",
            "slow etcd",
            "SIGSTOP webhook",
            "SIGSTOP webhook (40 s)",
            "SIGSTOP controller (40 s)",
            "SIGSTOP kube-apiserver (40 s)",
            "SIGSTOP etcd (40 s)",
            "watches of a webhook stale",
            "half of the watches of a controller stale",
            "two leaders, most of their watches stale",
            "sibling webhook refuses",
        ] {
            assert!(faults.contains(one), "{one} is not among {faults:?}");
        }
    }
}
