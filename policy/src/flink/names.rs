//! Names of options that Flink has renamed: it reads the older ones too, and the newest that is given wins.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The other names of an option, none for most.
pub fn other_names(key: &str) -> impl Iterator<Item = &'static str> {
    let names = FAMILIES.get(key).copied().unwrap_or_default();
    names.iter().copied().filter(move |name| *name != key)
}

static FAMILIES: LazyLock<HashMap<&'static str, &'static [&'static str]>> = LazyLock::new(|| {
    let named = |names: &&'static [&'static str]| {
        let names = *names;
        names.iter().map(move |name| (*name, names))
    };
    RENAMED.iter().flat_map(named).collect()
});

/// Newest name first. What `ConfigOption.fallbackKeys` of Flink 1.20 and 2.0 calls deprecated, but for options of YARN and of web pages,
/// and for names that stand for two options.
#[rustfmt::skip]
const RENAMED: &[&[&str]] = &[
    &["blob.service.cleanup.interval", "library-cache-manager.cleanup.interval"],
    &["classloader.parent-first-patterns.default", "classloader.parent-first-patterns"],
    &["cleanup-strategy.type", "cleanup-strategy"],
    &["client.timeout", "akka.client.timeout"],
    &["env.java.opts.all", "env.java.opts"],
    &["execution.batch.adaptive.auto-parallelism.avg-data-volume-per-task", "jobmanager.adaptive-batch-scheduler.avg-data-volume-per-task"],
    &["execution.batch.adaptive.auto-parallelism.default-source-parallelism", "jobmanager.adaptive-batch-scheduler.default-source-parallelism"],
    &["execution.batch.adaptive.auto-parallelism.max-parallelism", "jobmanager.adaptive-batch-scheduler.max-parallelism"],
    &["execution.batch.adaptive.auto-parallelism.min-parallelism", "jobmanager.adaptive-batch-scheduler.min-parallelism"],
    &["execution.batch.speculative.block-slow-node-duration", "jobmanager.adaptive-batch-scheduler.speculative.block-slow-node-duration"],
    &["execution.batch.speculative.enabled", "jobmanager.adaptive-batch-scheduler.speculative.enabled"],
    &["execution.batch.speculative.max-concurrent-executions", "jobmanager.adaptive-batch-scheduler.speculative.max-concurrent-executions"],
    &["execution.buffer-timeout.interval", "execution.buffer-timeout"],
    &["execution.checkpointing.aligned-checkpoint-timeout", "execution.checkpointing.alignment-timeout"],
    &["execution.checkpointing.checkpoints-after-tasks-finish", "execution.checkpointing.checkpoints-after-tasks-finish.enabled"],
    &["execution.checkpointing.cleaner.parallel-mode", "state.checkpoint.cleaner.parallel-mode"],
    &["execution.checkpointing.create-subdir", "state.checkpoints.create-subdir"],
    &["execution.checkpointing.data-inline-threshold", "state.storage.fs.memory-threshold", "state.backend.fs.memory-threshold"],
    &["execution.checkpointing.dir", "state.checkpoints.dir", "state.backend.fs.checkpointdir"],
    &["execution.checkpointing.incremental", "state.backend.incremental"],
    &["execution.checkpointing.local-backup.dirs", "taskmanager.state.local.root-dirs"],
    &["execution.checkpointing.num-retained", "state.checkpoints.num-retained"],
    &["execution.checkpointing.savepoint-dir", "state.savepoints.dir", "savepoints.state.backend.fs.dir"],
    &["execution.checkpointing.storage", "state.checkpoint-storage"],
    &["execution.checkpointing.unaligned.enabled", "execution.checkpointing.unaligned"],
    &["execution.checkpointing.write-buffer-size", "state.storage.fs.write-buffer-size", "state.backend.fs.write-buffer-size"],
    &["execution.program-config.enabled", "execution.allow-client-job-configurations"],
    &["execution.state-recovery.approximate-local-recovery", "execution.checkpointing.approximate-local-recovery"],
    &["execution.state-recovery.claim-mode", "execution.savepoint-restore-mode"],
    &["execution.state-recovery.ignore-unclaimed-state", "execution.savepoint.ignore-unclaimed-state"],
    &["execution.state-recovery.path", "execution.savepoint.path"],
    &["execution.state-recovery.without-channel-state.checkpoint-id", "execution.checkpointing.recover-without-channel-state.checkpoint-id"],
    &["high-availability.cluster-id", "high-availability.zookeeper.path.namespace", "recovery.zookeeper.path.namespace"],
    &["high-availability.job.delay", "recovery.job.delay"],
    &["high-availability.jobmanager.port", "recovery.jobmanager.port"],
    &["high-availability.storageDir", "high-availability.zookeeper.storageDir", "recovery.zookeeper.storageDir"],
    &["high-availability.type", "recovery.mode", "high-availability"],
    &["high-availability.zookeeper.client.connection-timeout", "recovery.zookeeper.client.connection-timeout"],
    &["high-availability.zookeeper.client.max-retry-attempts", "recovery.zookeeper.client.max-retry-attempts"],
    &["high-availability.zookeeper.client.retry-wait", "recovery.zookeeper.client.retry-wait"],
    &["high-availability.zookeeper.client.session-timeout", "recovery.zookeeper.client.session-timeout"],
    &["high-availability.zookeeper.path.jobgraphs", "recovery.zookeeper.path.jobgraphs"],
    &["high-availability.zookeeper.path.root", "recovery.zookeeper.path.root"],
    &["high-availability.zookeeper.quorum", "recovery.zookeeper.quorum"],
    &["io.tmp.dirs", "taskmanager.tmp.dirs"],
    &["jobmanager.adaptive-scheduler.executing.cooldown-after-rescaling", "jobmanager.adaptive-scheduler.scaling-interval.min"],
    &["jobmanager.adaptive-scheduler.submission.resource-stabilization-timeout", "jobmanager.adaptive-scheduler.resource-stabilization-timeout"],
    &["jobmanager.adaptive-scheduler.submission.resource-wait-timeout", "jobmanager.adaptive-scheduler.resource-wait-timeout"],
    &["jobmanager.execution.attempts-history-size", "job-manager.max-attempts-history-size"],
    &["kubernetes.container.image.ref", "kubernetes.container.image"],
    &["kubernetes.jobmanager.cpu.amount", "kubernetes.jobmanager.cpu"],
    &["kubernetes.pod-template-file.default", "kubernetes.pod-template-file"],
    &["kubernetes.taskmanager.cpu.amount", "kubernetes.taskmanager.cpu"],
    &["metrics.scope.jm-job", "metrics.scope.jm.job"],
    &["metrics.scope.tm-job", "metrics.scope.tm.job"],
    &["pekko.ask.callstack", "akka.ask.callstack"],
    &["pekko.ask.timeout", "akka.ask.timeout"],
    &["pekko.client-socket-worker-pool.pool-size-factor", "akka.client-socket-worker-pool.pool-size-factor"],
    &["pekko.client-socket-worker-pool.pool-size-max", "akka.client-socket-worker-pool.pool-size-max"],
    &["pekko.client-socket-worker-pool.pool-size-min", "akka.client-socket-worker-pool.pool-size-min"],
    &["pekko.fork-join-executor.parallelism-factor", "akka.fork-join-executor.parallelism-factor"],
    &["pekko.fork-join-executor.parallelism-max", "akka.fork-join-executor.parallelism-max"],
    &["pekko.fork-join-executor.parallelism-min", "akka.fork-join-executor.parallelism-min"],
    &["pekko.framesize", "akka.framesize"],
    &["pekko.jvm-exit-on-fatal-error", "akka.jvm-exit-on-fatal-error"],
    &["pekko.log.lifecycle.events", "akka.log.lifecycle.events"],
    &["pekko.lookup.timeout", "akka.lookup.timeout"],
    &["pekko.retry-gate-closed-for", "akka.retry-gate-closed-for"],
    &["pekko.rpc.force-invocation-serialization", "akka.rpc.force-invocation-serialization"],
    &["pekko.server-socket-worker-pool.pool-size-factor", "akka.server-socket-worker-pool.pool-size-factor"],
    &["pekko.server-socket-worker-pool.pool-size-max", "akka.server-socket-worker-pool.pool-size-max"],
    &["pekko.server-socket-worker-pool.pool-size-min", "akka.server-socket-worker-pool.pool-size-min"],
    &["pekko.ssl.enabled", "akka.ssl.enabled"],
    &["pekko.startup-timeout", "akka.startup-timeout"],
    &["pekko.tcp.timeout", "akka.tcp.timeout"],
    &["pekko.throughput", "akka.throughput"],
    &["pipeline.operator-chaining.enabled", "pipeline.operator-chaining"],
    &["resourcemanager.taskmanager-timeout", "slotmanager.taskmanager-timeout"],
    &["restart-strategy.type", "restart-strategy"],
    &["security.delegation.tokens.enabled", "security.kerberos.fetch.delegation-token"],
    &["security.delegation.tokens.renewal.retry.backoff", "security.kerberos.tokens.renewal.retry.backoff"],
    &["security.delegation.tokens.renewal.time-ratio", "security.kerberos.tokens.renewal.time-ratio"],
    &["security.kerberos.access.hadoopFileSystems", "yarn.security.kerberos.additionalFileSystems"],
    &["security.kerberos.login.keytab", "security.keytab"],
    &["security.kerberos.login.principal", "security.principal"],
    &["security.ssl.internal.close-notify-flush-timeout", "security.ssl.close-notify-flush-timeout"],
    &["security.ssl.internal.handshake-timeout", "security.ssl.handshake-timeout"],
    &["security.ssl.internal.session-cache-size", "security.ssl.session-cache-size"],
    &["security.ssl.internal.session-timeout", "security.ssl.session-timeout"],
    &["state.backend.rocksdb.localdir", "state.backend.rocksdb.checkpointdir"],
    &["state.backend.type", "state.backend"],
    &["state.changelog.dstl.dfs.base-path", "dstl.dfs.base-path"],
    &["state.changelog.dstl.dfs.batch.persist-delay", "dstl.dfs.batch.persist-delay"],
    &["state.changelog.dstl.dfs.batch.persist-size-threshold", "dstl.dfs.batch.persist-size-threshold"],
    &["state.changelog.dstl.dfs.compression.enabled", "dstl.dfs.compression.enabled"],
    &["state.changelog.dstl.dfs.discard.num-threads", "dstl.dfs.discard.num-threads"],
    &["state.changelog.dstl.dfs.download.local-cache.idle-timeout-ms", "dstl.dfs.download.local-cache.idle-timeout-ms"],
    &["state.changelog.dstl.dfs.preemptive-persist-threshold", "dstl.dfs.preemptive-persist-threshold"],
    &["state.changelog.dstl.dfs.upload.buffer-size", "dstl.dfs.upload.buffer-size"],
    &["state.changelog.dstl.dfs.upload.max-attempts", "dstl.dfs.upload.max-attempts"],
    &["state.changelog.dstl.dfs.upload.max-in-flight", "dstl.dfs.upload.max-in-flight"],
    &["state.changelog.dstl.dfs.upload.next-attempt-delay", "dstl.dfs.upload.next-attempt-delay"],
    &["state.changelog.dstl.dfs.upload.num-threads", "dstl.dfs.upload.num-threads"],
    &["state.changelog.dstl.dfs.upload.retry-policy", "dstl.dfs.upload.retry-policy"],
    &["state.changelog.dstl.dfs.upload.timeout", "dstl.dfs.upload.timeout"],
    &["state.changelog.enabled", "state.backend.changelog.enabled"],
    &["state.changelog.max-failures-allowed", "state.backend.changelog.max-failures-allowed"],
    &["state.changelog.periodic-materialize.enabled", "state.backend.changelog.periodic-materialize.enabled"],
    &["state.changelog.periodic-materialize.interval", "state.backend.changelog.periodic-materialize.interval"],
    &["state.changelog.storage", "state.backend.changelog.storage"],
    &["state.latency-track.history-size", "state.backend.latency-track.history-size"],
    &["state.latency-track.keyed-state-enabled", "state.backend.latency-track.keyed-state-enabled"],
    &["state.latency-track.sample-interval", "state.backend.latency-track.sample-interval"],
    &["state.latency-track.state-name-as-variable", "state.backend.latency-track.state-name-as-variable"],
    &["task.cancellation.interval", "task.cancellation-interval"],
    &["task.cancellation.timers.timeout", "timerservice.exceptional.shutdown.timeout"],
    &["taskmanager.debug.memory.log", "taskmanager.debug.memory.startLogThread"],
    &["taskmanager.debug.memory.log-interval", "taskmanager.debug.memory.logIntervalMs"],
    &["taskmanager.memory.managed.size", "taskmanager.memory.size"],
    &["taskmanager.memory.network.fraction", "taskmanager.network.memory.fraction"],
    &["taskmanager.memory.network.max", "taskmanager.network.memory.max"],
    &["taskmanager.memory.network.min", "taskmanager.network.memory.min"],
    &["taskmanager.network.batch-shuffle.compression.enabled", "taskmanager.network.blocking-shuffle.compression.enabled"],
    &["taskmanager.network.hybrid-shuffle.spill-index-region-group-size", "taskmanager.network.hybrid-shuffle.spill-index-segment-size"],
    &["taskmanager.network.memory.buffers-request-timeout", "taskmanager.network.memory.exclusive-buffers-request-timeout-ms"],
    &["taskmanager.network.netty.client.connectTimeoutSec", "taskmanager.net.client.connectTimeoutSec"],
    &["taskmanager.network.netty.client.numThreads", "taskmanager.net.client.numThreads"],
    &["taskmanager.network.netty.num-arenas", "taskmanager.net.num-arenas"],
    &["taskmanager.network.netty.sendReceiveBufferSize", "taskmanager.net.sendReceiveBufferSize"],
    &["taskmanager.network.netty.server.backlog", "taskmanager.net.server.backlog"],
    &["taskmanager.network.netty.server.numThreads", "taskmanager.net.server.numThreads"],
    &["taskmanager.network.netty.transport", "taskmanager.net.transport"],
    &["taskmanager.network.request-backoff.initial", "taskmanager.net.request-backoff.initial"],
    &["taskmanager.network.request-backoff.max", "taskmanager.net.request-backoff.max"],
    &["taskmanager.registration.initial-backoff", "taskmanager.initial-registration-pause"],
    &["taskmanager.registration.max-backoff", "taskmanager.max-registration-pause"],
    &["taskmanager.registration.refused-backoff", "taskmanager.refused-registration-pause"],
    &["taskmanager.registration.timeout", "taskmanager.maxRegistrationDuration"],
    &["taskmanager.runtime.fs-timeout", "taskmanager.runtime.fs_timeout"],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_known_by_each_of_its_names() {
        let others = |key| other_names(key).collect::<Vec<_>>();
        assert_eq!(
            others("state.checkpoints.dir"),
            [
                "execution.checkpointing.dir",
                "state.backend.fs.checkpointdir"
            ]
        );
        assert_eq!(
            others("high-availability.type"),
            ["recovery.mode", "high-availability"]
        );
        assert!(others("taskmanager.numberOfTaskSlots").is_empty());
        let names = RENAMED.iter().map(|names| names.len()).sum::<usize>();
        assert_eq!(FAMILIES.len(), names, "no name stands for two options");
    }
}
