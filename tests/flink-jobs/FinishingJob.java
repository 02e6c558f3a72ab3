package dev.sluice.jobs;

/** {@link CountingJob} with an end: 100 elements, unless {@code --limit N} says otherwise. */
public final class FinishingJob {
    private FinishingJob() {}

    public static void main(String[] args) throws Exception {
        CountingJob.run("FinishingJob", new Arguments(args), 100);
    }
}
