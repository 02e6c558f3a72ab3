// Package tools names the helm of the tests.
package tools

import _ "helm.sh/helm/v4/cmd/helm"
