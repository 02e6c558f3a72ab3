package dev.sluice.jobs;

import java.util.HashMap;
import java.util.Map;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.MapFunction;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.connector.source.lib.NumberSequenceSource;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/**
 * Fails with a root cause that can be told from everything else Flink says.
 *
 * <pre>
 * --after N     elements before it fails, default 0
 * --restarts N  how often Flink starts it again, a second apart; default 0, so that the job is FAILED at once
 * --main 1      fails in main instead, before there is a job
 * </pre>
 */
public final class FailingJob {
    /** The message of the root cause, an {@link IllegalStateException}. */
    public static final String CAUSE = "FailingJob fails on purpose: account 4711 has no owner";

    private FailingJob() {}

    public static void main(String[] args) throws Exception {
        Arguments arguments = new Arguments(args);
        if (arguments.number("main", 0) != 0) {
            throw new IllegalStateException(CAUSE);
        }
        long restarts = arguments.number("restarts", 0);
        Map<String, String> settings = new HashMap<>();
        // The first name since 1.19, the second before.
        for (String key : new String[] {"restart-strategy.type", "restart-strategy"}) {
            if (restarts == 0) {
                settings.put(key, "none");
            } else {
                settings.put(key, "fixed-delay");
            }
        }
        settings.put("restart-strategy.fixed-delay.attempts", Long.toString(restarts));
        settings.put("restart-strategy.fixed-delay.delay", "1 s");
        StreamExecutionEnvironment env =
                StreamExecutionEnvironment.getExecutionEnvironment(
                        Configuration.fromMap(settings));
        env.fromSource(
                        new NumberSequenceSource(1, Long.MAX_VALUE),
                        WatermarkStrategy.noWatermarks(),
                        "numbers",
                        Types.LONG)
                .map(new Fail(arguments.number("after", 0)))
                .returns(Types.LONG)
                .name("fail")
                .print();
        env.execute("FailingJob");
    }

    /** Throws at the first element after so many. */
    static final class Fail implements MapFunction<Long, Long> {
        private static final long serialVersionUID = 1L;
        private final long after;
        private long seen;

        Fail(long after) {
            this.after = after;
        }

        @Override
        public Long map(Long number) throws Exception {
            seen++;
            if (seen > after) {
                try {
                    throw new IllegalStateException(CAUSE);
                } catch (IllegalStateException cause) {
                    // What users see first is seldom the cause.
                    throw new RuntimeException("could not handle element " + number, cause);
                }
            }
            Thread.sleep(50);
            return number;
        }
    }
}
