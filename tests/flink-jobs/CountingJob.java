package dev.sluice.jobs;

import org.apache.flink.api.common.accumulators.LongCounter;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.RichFlatMapFunction;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.connector.source.lib.NumberSequenceSource;
import org.apache.flink.runtime.state.FunctionInitializationContext;
import org.apache.flink.runtime.state.FunctionSnapshotContext;
import org.apache.flink.streaming.api.checkpoint.CheckpointedFunction;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.util.Collector;

/**
 * Counts without end, and keeps the count in checkpointed state, so that one can see whether state survived.
 *
 * <pre>
 * --rate N        elements a second for each subtask, default 20
 * --limit N       ends after so many elements in all, default: never
 * --checkpoint N  milliseconds between checkpoints, default: as Flink is configured
 * </pre>
 *
 * Seen from outside: the accumulators {@code count} (all that were ever counted, those before a restore included) and
 * {@code restored} (what the count was when this run began; absent or 0 after an empty start) at
 * {@code /jobs/ID/accumulators}, both of which Flink refreshes with its heartbeats; and lines
 * {@code CountingJob restored=R} and {@code CountingJob count=N} on the TaskManagers' stdout, the latter of each subtask
 * after every tenth element.
 */
public final class CountingJob {
    private CountingJob() {}

    public static void main(String[] args) throws Exception {
        run("CountingJob", new Arguments(args), Long.MAX_VALUE);
    }

    static void run(String name, Arguments arguments, long limit) throws Exception {
        StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment();
        long interval = arguments.number("checkpoint", 0);
        if (interval > 0) {
            env.enableCheckpointing(interval);
        }
        long last = arguments.number("limit", limit);
        env.fromSource(
                        new NumberSequenceSource(1, last),
                        WatermarkStrategy.noWatermarks(),
                        "numbers",
                        Types.LONG)
                .uid("numbers")
                // Chained to the source: what slows it down is one thread, and no buffer fills up in front of a barrier.
                .flatMap(new Count(name, arguments.number("rate", 20)))
                .returns(Types.STRING)
                .uid("count")
                .name("count")
                .print()
                .uid("print")
                .name("print");
        env.execute(name);
    }

    /** One count for each subtask. The parts of a list state are dealt out anew at a restore, so the sum stays right. */
    static final class Count extends RichFlatMapFunction<Long, String>
            implements CheckpointedFunction {
        private static final long serialVersionUID = 1L;
        private static final int PRINT_EVERY = 10;

        private final String job;
        private final long pauseMillis;
        private transient ListState<Long> state;
        private transient LongCounter counter;
        private transient long count;

        Count(String job, long rate) {
            this.job = job;
            this.pauseMillis = 1000 / Math.max(rate, 1);
        }

        @Override
        public void initializeState(FunctionInitializationContext context) throws Exception {
            state =
                    context.getOperatorStateStore()
                            .getListState(new ListStateDescriptor<>("count", Types.LONG));
            count = 0;
            for (Long part : state.get()) {
                count += part;
            }
            counter = new LongCounter(count);
            getRuntimeContext().addAccumulator("count", counter);
            getRuntimeContext().addAccumulator("restored", new LongCounter(count));
            if (context.isRestored()) {
                System.out.println(job + " restored=" + count);
            }
        }

        @Override
        public void snapshotState(FunctionSnapshotContext context) throws Exception {
            state.clear();
            state.add(count);
        }

        @Override
        public void flatMap(Long number, Collector<String> out) throws Exception {
            Thread.sleep(pauseMillis);
            count++;
            counter.add(1L);
            if (count % PRINT_EVERY == 0) {
                out.collect(job + " count=" + count);
            }
        }
    }
}
