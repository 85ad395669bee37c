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

{{/* the condition by which a guard looks at the operator's own writes only */}}
{{- define "tasksession.onlyTheOperator" -}}
- {name: operator, expression: "request.userInfo.username == '{{ include "tasksession.operatorUser" . }}'"}
{{- end }}

{{/* a CEL list of strings; argument: the list */}}
{{- define "tasksession.celList" -}}
[{{ range $index, $item := . }}{{ if $index }}, {{ end }}'{{ $item }}'{{ end }}]
{{- end }}

{{/* CEL: the verbs and names of each of ceiling.rules */}}
{{- define "tasksession.ceilingRules" -}}
{{- $rules := list }}
{{- range .Values.ceiling.rules }}
  {{- $rules = append $rules (printf "{'verbs': %s, 'names': %s}" (include "tasksession.celList" .verbs) (include "tasksession.celList" (default list .resourceNames))) }}
{{- end -}}
[{{ join ", " $rules }}]
{{- end }}

{{/* CEL: by `group/resource` the numbers of those of ceiling.rules that have it. Found by a key, a rule costs the same
     however long the ceiling is. */}}
{{- define "tasksession.ceilingKeys" -}}
{{- $numbers := dict }}
{{- range $number, $rule := .Values.ceiling.rules }}
  {{- range $group := .apiGroups }}
    {{- range $resource := $rule.resources }}
      {{- $key := printf "%s/%s" $group $resource }}
      {{- $_ := set $numbers $key (append (default list (get $numbers $key)) (toString $number)) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- $keys := list }}
{{- range $key, $each := $numbers }}
  {{- $keys = append $keys (printf "'%s': [%s]" $key (join ", " $each)) }}
{{- end -}}
{ {{- join ", " $keys -}} }
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

{{/* CEL: two maps are the same but for some keys. Without types, so that fields are compared that this version of the
     chart has never heard of. Argument: (list "object.spec" "oldObject.spec" (list "suspend")) */}}
{{- define "tasksession.sameBut" -}}
{{- $keys := include "tasksession.celList" (index . 2) -}}
(dyn({{ index . 0 }}).all(k, k in {{ $keys }} || (k in dyn({{ index . 1 }}) && dyn({{ index . 0 }})[k] == dyn({{ index . 1 }})[k])) &&
dyn({{ index . 1 }}).all(k, k in {{ $keys }} || k in dyn({{ index . 0 }})))
{{- end }}

{{/* CEL: a map has no keys but these. Argument: (list "object.spec" (list "suspend")) */}}
{{- define "tasksession.onlyKeys" -}}
dyn({{ index . 0 }}).all(k, k in {{ include "tasksession.celList" (index . 1) }})
{{- end }}

{{/* what the API server itself writes into metadata at creation, and what every object of the operator's has besides */}}
{{- define "tasksession.metadataKeys" -}}
['name', 'namespace', 'uid', 'creationTimestamp', 'generation', 'managedFields', 'labels', 'ownerReferences']
{{- end }}

{{/* The shape of a session's Job, as validations: the same for a Job and for the jobTemplate of a CronJob. They need the
     variables annotations, labels, finalizers, spec, template, pod, containers and operator. */}}
{{- define "tasksession.jobShape" -}}
- expression: >-
    !variables.template.metadata.?annotations.orValue({}).exists(k, k.startsWith('tasksession.dev/')) &&
    !variables.template.metadata.?labels.orValue({}).exists(k, k.startsWith('tasksession.dev/'))
  message: "the pod template of a session's Job gets its identity at release: leave tasksession.dev/ labels and annotations out of it, and annotate the Job's own metadata (of a CronJob: spec.jobTemplate.metadata)"
- expression: "('tasksession.dev/policy' in variables.annotations) != ('tasksession.dev/session' in variables.annotations)"
  message: "tasksession.dev/ is reserved: annotate the Job with either tasksession.dev/policy or tasksession.dev/session, or leave such labels and annotations out"
- expression: >-
    variables.annotations.all(k, !k.startsWith('tasksession.dev/') || k in [
      'tasksession.dev/policy', 'tasksession.dev/session', 'tasksession.dev/ttl', 'tasksession.dev/reason',
      'tasksession.dev/access', 'tasksession.dev/requested-by', 'tasksession.dev/requested-by-uid',
      'tasksession.dev/requested-by-groups'])
  message: "unknown tasksession.dev/ annotation: there are policy, session, ttl, reason and access"
- expression: >-
    variables.labels.all(k, !k.startsWith('tasksession.dev/') || k == 'tasksession.dev/managed' ||
      (variables.operator && k in ['tasksession.dev/session', 'tasksession.dev/session-uid']))
  message: "labels with tasksession.dev/ are the operator's: leave them out"
- expression: >-
    !('tasksession.dev/session' in variables.annotations) ||
    !['tasksession.dev/ttl', 'tasksession.dev/reason', 'tasksession.dev/access'].exists(k, k in variables.annotations)
  message: "a Job that joins a TaskSession asks for nothing itself: write ttl, reason and access into the TaskSession's spec"
{{- range $key, $what := dict "policy" "SessionPolicy" "session" "TaskSession" }}
- expression: >-
    !('tasksession.dev/{{ $key }}' in variables.annotations) || (
      variables.annotations['tasksession.dev/{{ $key }}'].size() <= {{ eq $key "policy" | ternary 253 63 }} &&
      variables.annotations['tasksession.dev/{{ $key }}'].matches(
        '^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$'))
  message: "the annotation tasksession.dev/{{ $key }} is no name: write that of a {{ $what }}, in small letters, digits, dashes and dots"
{{- end }}
# As spec.ttl of a TaskSession.
- expression: >-
    !('tasksession.dev/ttl' in variables.annotations) || (
      variables.annotations['tasksession.dev/ttl'].size() <= 32 &&
      variables.annotations['tasksession.dev/ttl'].matches('^([0-9]+([.][0-9]+)?(ns|us|µs|ms|s|m|h))+$') &&
      duration(variables.annotations['tasksession.dev/ttl']) >= duration('10s') &&
      duration(variables.annotations['tasksession.dev/ttl']) <= duration('24h'))
  message: "the annotation tasksession.dev/ttl must be a duration from 10s to 24h, such as 90s, 15m or 1h30m"
- expression: "variables.annotations[?'tasksession.dev/reason'].orValue('').size() <= 1024"
  message: "the annotation tasksession.dev/reason has at most 1024 characters: shorten it"
- expression: >-
    !('tasksession.dev/access' in variables.annotations) || (
      variables.annotations['tasksession.dev/access'].size() <= 8192 &&
      variables.annotations['tasksession.dev/access'].trim() != '')
  message: "the annotation tasksession.dev/access is empty or longer than 8192 characters: write roles and rules as in a TaskSession's spec.access, or leave it out for the policy's defaults"
- expression: "!request.namespace.matches('{{ include "tasksession.excludedNamespaces" . }}')"
  messageExpression: "'no session may be in namespace ' + request.namespace + ': create the Job in a namespace of your own'"
- expression: "variables.finalizers.size() == 0 && variables.template.metadata.?finalizers.orValue([]).size() == 0"
  message: "a session's Job has no finalizers, they would keep its access alive: leave them out"
# The selector is made with the label by which pods are known to be the Job's.
- expression: "!variables.spec.?manualSelector.orValue(false)"
  message: "the Job controller tells a session's pods by labels of its own: leave spec.manualSelector and spec.selector out"
- expression: "variables.spec.?managedBy.orValue('kubernetes.io/job-controller') == 'kubernetes.io/job-controller'"
  message: "a session's Job is run by the Job controller, which ends it at the deadline: leave spec.managedBy out"
- expression: "variables.pod.?terminationGracePeriodSeconds.orValue(30) <= {{ .Values.maxGraceSeconds }}"
  message: "pods of a session must end at its deadline: set terminationGracePeriodSeconds to {{ .Values.maxGraceSeconds }} or less"
# A liveness or startup probe may have a grace of its own, which goes over the pod's.
- expression: >-
    variables.containers.all(c,
      c.?livenessProbe.?terminationGracePeriodSeconds.orValue(0) <= {{ .Values.maxGraceSeconds }} &&
      c.?startupProbe.?terminationGracePeriodSeconds.orValue(0) <= {{ .Values.maxGraceSeconds }})
  message: "pods of a session must end at its deadline: set terminationGracePeriodSeconds of probes to {{ .Values.maxGraceSeconds }} or less"
- expression: "variables.pod.?serviceAccountName.orValue('') == '' && variables.pod.?serviceAccount.orValue('') == ''"
  message: "a session brings its own ServiceAccount: leave serviceAccountName out of the Job"
- expression: >-
    variables.pod.?volumes.orValue([]).all(v, v.name == 'tasksession' ||
      v.?projected.?sources.orValue([]).all(s, !has(s.serviceAccountToken) && !has(s.podCertificate)))
  message: "a session's tokens and certificates come from the session alone: leave serviceAccountToken and podCertificate volumes out"
- expression: >-
    variables.containers.all(c, c.?volumeMounts.orValue([]).all(m, m.name == 'tasksession' ||
      (m.mountPath != '{{ include "tasksession.tokenPath" . }}' &&
       !m.mountPath.startsWith('{{ include "tasksession.tokenPath" . }}/'))))
  message: "the session's token is at {{ include "tasksession.tokenPath" . }}: mount nothing else there"
{{- end }}
