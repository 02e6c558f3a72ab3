package dev.sluice.jobs;

/** Arguments written as {@code --name value}: Flink's own reader of them moved between 1 and 2. */
final class Arguments {
    private final String[] args;

    Arguments(String[] args) {
        this.args = args;
    }

    long number(String name, long otherwise) {
        for (int i = 0; i + 1 < args.length; i++) {
            if (args[i].equals("--" + name)) {
                return Long.parseLong(args[i + 1]);
            }
        }
        return otherwise;
    }
}
