module sluice.dev/bench/noop-webhook

go 1.24
