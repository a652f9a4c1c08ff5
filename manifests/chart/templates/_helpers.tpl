{{/* The name of the chart's objects: the release's, with the chart's where it does not have it already. */}}
{{- define "gpuward.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Labels that never change: selectors use them. */}}
{{- define "gpuward.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "gpuward.labels" -}}
{{ include "gpuward.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "gpuward.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "gpuward.serviceAccountName" -}}
{{- default (ternary (include "gpuward.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "gpuward.certificateSecret" -}}
{{- default (printf "%s-certs" (include "gpuward.fullname" .)) .Values.certificates.secretName -}}
{{- end -}}

{{- define "gpuward.policiesConfigMap" -}}
{{- default (printf "%s-policies" (include "gpuward.fullname" .)) .Values.policies.existingConfigMap -}}
{{- end -}}

{{/* Namespaces that are never asked about: the cluster's own and those that its pods need. */}}
{{- define "gpuward.exemptNamespaces" -}}
{{- concat (list "kube-system" "kube-public" "kube-node-lease") .Values.webhooks.excludedNamespaces | uniq | join "," -}}
{{- end -}}

{{/* How long a pod may take to stop, in seconds. */}}
{{- define "gpuward.gracePeriod" -}}
{{- add .Values.drain.preStopSeconds .Values.drain.delaySeconds .Values.drain.timeoutSeconds 5 -}}
{{- end -}}

{{/* A list of annotations, or nothing. */}}
{{- define "gpuward.webhookAnnotations" -}}
{{- $annotations := deepCopy .Values.webhooks.annotations -}}
{{- if eq .Values.certificates.mode "certManager" -}}
{{- $_ := set $annotations "cert-manager.io/inject-ca-from" (printf "%s/%s" .Release.Namespace (include "gpuward.fullname" .)) -}}
{{- end -}}
{{- with $annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- end -}}

{{/* One entry of a webhook configuration. Takes root, webhook (mutate, validate), mode, name, selector, rules, fail, and guard for what guards the gate. */}}
{{- define "gpuward.webhook" -}}
- name: {{ .name }}.gpuward.dev
  clientConfig:
    service:
      namespace: {{ .root.Release.Namespace }}
      name: {{ include "gpuward.fullname" .root }}
      port: 443
      path: /{{ .webhook }}/{{ .mode }}
    {{- if and (eq .root.Values.certificates.mode "existingSecret") .root.Values.certificates.caBundle }}
    caBundle: {{ .root.Values.certificates.caBundle | b64enc }}
    {{- end }}
  failurePolicy: {{ .fail }}
  timeoutSeconds: {{ .root.Values.webhooks.timeoutSeconds }}
  sideEffects: None
  # A request in another version of an API than the rules name is converted, not missed.
  matchPolicy: Equivalent
  admissionReviewVersions: [v1]
  {{- if eq .webhook "mutate" }}
  # Called again when another webhook has changed the pod since (a sidecar was injected).
  reinvocationPolicy: IfNeeded
  {{- end }}
  {{- with .selector }}
  namespaceSelector:
    matchExpressions:
      {{- toYaml . | nindent 6 }}
  {{- end }}
  {{- with .root.Values.webhooks.objectSelector }}
  objectSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  matchConditions:
    # Nodes make mirror pods of what they run anyway, and must always be able to say so.
    - name: not-by-a-node
      expression: "!('system:nodes' in request.userInfo.groups)"
    - name: not-by-gpuward
      expression: "request.userInfo.username != 'system:serviceaccount:{{ .root.Release.Namespace }}:{{ include "gpuward.serviceAccountName" .root }}'"
    {{- if .guard }}
    # Of all that happens to namespaces, only what changes a label of ours.
    - name: one-of-our-labels-changes
      expression: >-
        request.resource.group == 'gpuward.dev' ||
        (request.operation == 'CREATE' &&
        object.metadata.?labels.orValue({}).exists(key, key.startsWith('gpuward.dev/'))) ||
        (request.operation == 'UPDATE' && (
        object.metadata.?labels.orValue({}).exists(key, key.startsWith('gpuward.dev/') &&
        oldObject.metadata.?labels[?key] != object.metadata.?labels[?key]) ||
        oldObject.metadata.?labels.orValue({}).exists(key, key.startsWith('gpuward.dev/') &&
        !(key in object.metadata.?labels.orValue({})))))
    {{- else if eq .webhook "validate" }}
    # Finalizers must be removable, whatever a policy says of the object by now.
    - name: not-being-deleted
      expression: "!(request.operation in ['CREATE', 'UPDATE']) || !has(object.metadata.deletionTimestamp)"
    # Updates of status, finalizers or owners change nothing that is judged; controllers make many of them.
    - name: something-changed
      expression: >-
        request.operation != 'UPDATE' ||
        object.metadata.?labels != oldObject.metadata.?labels ||
        object.metadata.?annotations != oldObject.metadata.?annotations ||
        object.exists(key, !(key in ['metadata', 'status']) && (!(key in oldObject) || object[key] != oldObject[key])) ||
        oldObject.exists(key, !(key in object))
    {{- end }}
    {{- with .root.Values.webhooks.matchConditions }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  rules:
    {{- range .rules }}
    - apiGroups: {{ toJson .apiGroups }}
      apiVersions: {{ toJson .apiVersions }}
      resources: {{ toJson .resources }}
      operations: {{ toJson (default $.operations .operations) }}
      scope: {{ $.scope | quote }}
    {{- end }}
{{- end -}}

{{/* The namespaces of a mode, as matchExpressions. A label whose value is no mode counts as audit. */}}
{{- define "gpuward.namespaceSelector" -}}
{{- if eq .mode "audit" }}
- {key: gpuward.dev/mode, operator: Exists}
- {key: gpuward.dev/mode, operator: NotIn, values: [warn, enforce]}
{{- else }}
- {key: gpuward.dev/mode, operator: In, values: [{{ .mode }}]}
{{- end }}
- key: kubernetes.io/metadata.name
  operator: NotIn
  values:
    {{- range (concat (list .root.Release.Namespace) (splitList "," (include "gpuward.exemptNamespaces" .root)) | uniq) }}
    - {{ . }}
    {{- end }}
{{- end -}}
