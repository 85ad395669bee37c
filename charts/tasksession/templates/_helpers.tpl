{{/* Names and patterns, each defined once. Guards include them; nothing else may spell them out. */}}

{{- define "tasksession.labels" -}}
app.kubernetes.io/name: tasksession
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "tasksession.selector" -}}
app.kubernetes.io/name: tasksession
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* metadata of a guard; argument: (list . "name") */}}
{{- define "tasksession.guard" -}}
name: tasksession-{{ index . 1 }}
labels:
  {{- include "tasksession.labels" (index . 0) | nindent 2 }}
  tasksession.dev/guard: {{ index . 1 }}
{{- end }}

{{/* the binding that makes a validating guard refuse; argument: (list . "name") */}}
{{- define "tasksession.deny" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  {{- include "tasksession.guard" . | nindent 2 }}
spec:
  policyName: tasksession-{{ index . 1 }}
  validationActions: [Deny]
{{- end }}

{{/* the binding that makes a mutating guard act; argument: (list . "name") */}}
{{- define "tasksession.mutate" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata:
  {{- include "tasksession.guard" . | nindent 2 }}
spec:
  policyName: tasksession-{{ index . 1 }}
{{- end }}

{{/* An identity's name is ts-<uid>-<deadline>: 50 characters, the deadline from the 40th on. */}}
{{- define "tasksession.identityPrefix" -}}
ts-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-
{{- end }}

{{- define "tasksession.identity" -}}
{{ include "tasksession.identityPrefix" . }}[0-9]{10}
{{- end }}

{{- define "tasksession.operatorUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ .Values.serviceAccount.name }}
{{- end }}

{{/* a CEL list of strings; argument: the list */}}
{{- define "tasksession.celList" -}}
[{{ range $index, $item := . }}{{ if $index }}, {{ end }}'{{ $item }}'{{ end }}]
{{- end }}

{{/* controllers of Kubernetes that keep Jobs and their pods in order */}}
{{- define "tasksession.caretakers" -}}
{{ include "tasksession.celList" (concat .Values.controllers.job .Values.controllers.garbageCollector | uniq) }}
{{- end }}

{{- define "tasksession.garbageCollector" -}}
{{ include "tasksession.celList" .Values.controllers.garbageCollector }}
{{- end }}

{{- define "tasksession.jobController" -}}
{{ include "tasksession.celList" .Values.controllers.job }}
{{- end }}

{{- define "tasksession.cronJobController" -}}
{{ include "tasksession.celList" .Values.controllers.cronJob }}
{{- end }}

{{/* matches the namespaces in which no session may be */}}
{{- define "tasksession.excludedNamespaces" -}}
^({{ append .Values.excludedNamespaces .Release.Namespace | uniq | join "|" | replace "*" ".*" }})$
{{- end }}

{{/* where every container of a session finds its token */}}
{{- define "tasksession.tokenPath" -}}
/var/run/secrets/kubernetes.io/serviceaccount
{{- end }}

{{/* CEL: the metadata bears one of our annotations or labels; argument: the object's name in the expression */}}
{{- define "tasksession.marked" -}}
{{ . }}.metadata.?annotations.orValue({}).exists(k, k.startsWith('tasksession.dev/')) ||
{{ . }}.metadata.?labels.orValue({}).exists(k, k.startsWith('tasksession.dev/'))
{{- end }}

{{/* CEL: a Job that asks for a session or takes part in one */}}
{{- define "tasksession.asks" -}}
'tasksession.dev/policy' in object.metadata.?annotations.orValue({}) || 'tasksession.dev/session' in object.metadata.?annotations.orValue({})
{{- end }}

{{/* CEL: a CronJob whose runs ask for a session, written anew */}}
{{- define "tasksession.cronJobAsks" -}}
object.spec.jobTemplate.?metadata.?annotations.orValue({}).exists(k, k in ['tasksession.dev/policy', 'tasksession.dev/session'])
{{- end }}

{{/* CEL: the operator writes the TaskSession of an annotated Job, and copies that Job's stamp into it */}}
{{- define "tasksession.copiesStamp" -}}
(request.userInfo.username == '{{ include "tasksession.operatorUser" . }}' && object.metadata.?ownerReferences.orValue([]).size() == 1 &&
object.metadata.ownerReferences.all(o, o.apiVersion == 'batch/v1' && o.kind == 'Job' && o.?controller.orValue(false)))
{{- end }}

{{- define "tasksession.specChanged" -}}
request.operation == 'CREATE' || object.spec != oldObject.spec
{{- end }}

{{/* CEL: no finalizer was added, and the owners are the same */}}
{{- define "tasksession.noNewFinalizers" -}}
object.metadata.?finalizers.orValue([]).all(f, f in oldObject.metadata.?finalizers.orValue([]))
{{- end }}

{{- define "tasksession.sameOwners" -}}
object.metadata.?ownerReferences.orValue([]) == oldObject.metadata.?ownerReferences.orValue([])
{{- end }}
