// Package tools names the Kyverno whose command line the benchmarks set Sluice's beside.
package tools

import _ "github.com/kyverno/kyverno/cmd/cli/kubectl-kyverno"
