{{/* Labels of every object. */}}
{{- define "sluice.labels" -}}
{{- include "sluice.labels.and" (list . (dict)) -}}
{{- end }}

{{/* The same, and more of one object: (list $ LABELS). */}}
{{- define "sluice.labels.and" -}}
{{- $root := index . 0 -}}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: sluice
app.kubernetes.io/part-of: sluice
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
{{- with include "sluice.labels.merged" (list $root.Values.commonLabels (index . 1)) }}
{{ . }}
{{- end }}
{{- end }}

{{/* Maps of users' labels as one, the later before the earlier, since YAML has each key once; and none in place of the chart's own. */}}
{{- define "sluice.labels.merged" -}}
{{- $own := list "helm.sh/chart" "app.kubernetes.io/name" "app.kubernetes.io/part-of" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "app.kubernetes.io/component" -}}
{{- $all := dict -}}
{{- range . }}
{{- range $key, $value := . }}
{{- if has $key $own }}
{{- fail (printf "label %s is the chart's own, and its pods are found by such labels; remove it from commonLabels, podLabels and the labels under monitoring" $key) }}
{{- end }}
{{- $_ := set $all $key $value }}
{{- end }}
{{- end }}
{{- with $all }}{{ toYaml . }}{{ end }}
{{- end }}

{{/* Labels by which pods are found: (list "webhook"). They can never be changed, so nothing else is in them. */}}
{{- define "sluice.selector" -}}
app.kubernetes.io/name: sluice
app.kubernetes.io/component: {{ index . 0 }}
{{- end }}

{{- define "sluice.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{/* Data that this chart's own program has generated, with the release's namespace in place. */}}
{{- define "sluice.generated" -}}
{{ index . 0 | replace "RELEASE-NAMESPACE" (index . 1) }}
{{- end }}

{{/* What both processes' containers have: (dict "root" $ "name" "webhook" "args" (list ...) "of" .Values.webhook), and "more" of the environment. */}}
{{- define "sluice.container" -}}
- name: {{ .name }}
  image: {{ include "sluice.image" .root | quote }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  args:
  {{- range .args }}
  - {{ . | quote }}
  {{- end }}
  {{- with .root.Values.operatorConfig }}
  - {{ printf "--operator-config=%s" . | quote }}
  {{- end }}
  - {{ printf "--log=%s" .of.log | quote }}
  {{- range .of.extraArgs }}
  - {{ . | quote }}
  {{- end }}
  env:
  - name: POD_NAME
    valueFrom:
      fieldRef:
        fieldPath: metadata.name
  {{- with .more }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .of.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .of.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: [ALL]
{{- end }}

{{/* What a container has besides: volumes, read-only unless they are "writable", (dict "name" "path") each of "own"; and "more" as they are. */}}
{{- define "sluice.mounts" -}}
{{- if or .own .more }}
  volumeMounts:
  {{- range .own }}
  - name: {{ .name }}
    mountPath: {{ .path }}
    {{- if not .writable }}
    readOnly: true
    {{- end }}
  {{- end }}
  {{- with .more }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The name of the Secret with the webhook's leaf, where it does not make its own. */}}
{{- define "sluice.leaf" -}}
{{- if eq .Values.tls.mode "certManager" }}sluice-tls{{ else if eq .Values.tls.mode "secret" }}{{ .Values.tls.secret.name }}{{ end -}}
{{- end }}

{{/* Volumes of a controller's pod. No sizeLimit: a pod that is over it is evicted, and the webhook with it. */}}
{{- define "sluice.volumes.controller" -}}
- name: tmp
  emptyDir: {}
{{- end }}

{{/* Volumes of the webhook's pod. */}}
{{- define "sluice.volumes" -}}
{{- with include "sluice.leaf" . }}
- name: leaf
  secret:
    secretName: {{ . }}
{{- end }}
{{- $clients := .Values.tls.clients }}
{{- if and $clients.configMap $clients.secret }}
{{- fail "tls.clients.configMap and tls.clients.secret are both given; give one of them" }}
{{- end }}
{{- if $clients.configMap }}
- name: clients
  configMap:
    name: {{ $clients.configMap }}
{{- else if $clients.secret }}
- name: clients
  secret:
    secretName: {{ $clients.secret }}
    items:
    - {key: {{ $clients.key }}, path: {{ $clients.key }}}
{{- else if $clients.names }}
{{- fail "tls.clients.names is given without CAs; give tls.clients.configMap or tls.clients.secret" }}
{{- end }}
{{- if ne .Values.controller.placement "deployment" }}
{{ include "sluice.volumes.controller" . }}
{{- end }}
{{- end }}

{{- define "sluice.webhook" -}}
{{- if eq (int .Values.webhook.port) (int .Values.webhook.metricsPort) }}
{{- fail "webhook.port and webhook.metricsPort are the same, and one process listens on both; give one of them another port" }}
{{- end -}}
{{- $args := list "webhook" (printf "--namespace=%s" .Release.Namespace) (printf "--listen=%s:%v" .Values.listenAddress .Values.webhook.port) (printf "--metrics-listen=%s:%v" .Values.listenAddress .Values.webhook.metricsPort) (printf "--shutdown-grace=%v" .Values.webhook.shutdownGraceSeconds) -}}
{{- $args = append $args (.Values.webhook.url | empty | ternary "--service=sluice" (printf "--url=%s" .Values.webhook.url)) -}}
{{- with .Values.tracing.otlpEndpoint }}{{ $args = append $args (printf "--otlp-endpoint=%s" .) }}{{ end -}}
{{- $mounts := list -}}
{{- if include "sluice.leaf" . -}}
{{- $mounts = append $mounts (dict "name" "leaf" "path" "/etc/sluice/tls") -}}
{{- $args = concat $args (list "--tls-cert=/etc/sluice/tls/tls.crt" "--tls-key=/etc/sluice/tls/tls.key") -}}
{{- else -}}
{{- $args = concat $args (list (printf "--ca-dwell=%v" (int64 .Values.tls.self.caDwellSeconds)) (printf "--ca-retire=%v" (int64 .Values.tls.self.caRetireSeconds))) -}}
{{- end -}}
{{- with .Values.tls.clients -}}
{{- if or .configMap .secret -}}
{{- $mounts = append $mounts (dict "name" "clients" "path" "/etc/sluice/clients") -}}
{{- $args = append $args (printf "--client-ca=/etc/sluice/clients/%s" .key) -}}
{{- range .names }}{{ $args = append $args (printf "--client-name=%s" .) }}{{ end -}}
{{- end -}}
{{- end -}}
{{ include "sluice.container" (dict "root" . "name" "webhook" "args" $args "of" .Values.webhook) }}
{{- include "sluice.mounts" (dict "own" $mounts "more" .Values.webhook.extraVolumeMounts) }}
  ports:
  - name: webhook
    containerPort: {{ .Values.webhook.port }}
  - name: metrics
    containerPort: {{ .Values.webhook.metricsPort }}
  readinessProbe:
    httpGet:
      path: /readyz
      port: metrics
    periodSeconds: 5
    timeoutSeconds: 3
  livenessProbe:
    httpGet:
      path: /healthz
      port: metrics
    periodSeconds: 5
    timeoutSeconds: 5
{{- end }}

{{- define "sluice.controller" -}}
{{- $apart := eq .Values.controller.placement "deployment" -}}
{{- range list "port" "metricsPort" }}
{{- if and (not $apart) (eq (int $.Values.controller.metricsPort) (int (index $.Values.webhook .))) }}
{{- fail (printf "controller.metricsPort and webhook.%s are the same, and a sidecar shares the pod's ports with the webhook; give one of them another port" .) }}
{{- end }}
{{- end -}}
{{- $args := list "controller" (printf "--namespace=%s" .Release.Namespace) (printf "--metrics-listen=%s:%v" .Values.listenAddress .Values.controller.metricsPort) (printf "--sluice-image=%s" (include "sluice.image" .)) -}}
{{- if .Values.controller.ledgerOnly }}{{ $args = append $args "--ledger-only" }}{{ end -}}
{{- if .Values.controller.allowLocalFetch }}{{ $args = append $args "--allow-local-fetch" }}{{ end -}}
{{- /* Many small things: in pages of 2 MiB they take half as much again. Set before the allocator begins. */ -}}
{{- $more := list (dict "name" "MIMALLOC_ALLOW_THP" "value" "0") -}}
{{ include "sluice.container" (dict "root" . "name" "controller" "args" $args "of" .Values.controller "more" $more) }}
{{- /* Where jars of session jobs lie on their way to Flink: the image has no folder that can be written to. */ -}}
{{- $mounts := list (dict "name" "tmp" "path" "/tmp" "writable" true) -}}
{{- include "sluice.mounts" (dict "own" $mounts "more" .Values.controller.extraVolumeMounts) }}
  ports:
  - name: ctl-metrics
    containerPort: {{ .Values.controller.metricsPort }}
  {{- if $apart }}
  readinessProbe:
    httpGet:
      path: /readyz
      port: ctl-metrics
    periodSeconds: 5
    timeoutSeconds: 3
  {{- end }}
  # Beside a webhook there is no readiness: what it waits for must not take the webhook out of its Service. A controller that keeps
  # ending does, since a pod is ready only while all its containers run.
  livenessProbe:
    httpGet:
      path: /healthz
      port: ctl-metrics
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 3
{{- end }}

{{/* What both Deployments' pods have: (dict "root" $ "component" "webhook" "account" "sluice" "containers" TEXT). */}}
{{- define "sluice.pod" -}}
{{- $values := .root.Values -}}
metadata:
  labels:
    {{- include "sluice.selector" (list .component) | nindent 4 }}
    app.kubernetes.io/part-of: sluice
    {{- with include "sluice.labels.merged" (list $values.commonLabels $values.podLabels) }}
    {{- . | nindent 4 }}
    {{- end }}
  {{- with $values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ .account }}
  {{- with $values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  # The grace, then up to 23 s: requests that are under way, spans, what follows from decisions.
  terminationGracePeriodSeconds: {{ add $values.webhook.shutdownGraceSeconds 30 }}
  {{- with $values.podSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if $values.spread }}
  topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "sluice.selector" (list $.component) | nindent 8 }}
  {{- end }}
  {{- end }}
  {{- with $values.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  {{- with $values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
  {{- .containers | nindent 2 }}
  {{- $volumes := .volumes | default "" | trim }}
  {{- if or $volumes $values.extraVolumes }}
  volumes:
  {{- with $volumes }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with $values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- end }}
{{- end }}
