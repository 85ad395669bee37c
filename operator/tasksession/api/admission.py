"""The kinds that guards are made of, as the API server names them: one list, for all that read or judge them."""

from collections.abc import Mapping

GROUP = "admissionregistration.k8s.io"

#: From the plural of a binding's resource to its policy's.
POLICY_OF_BINDING: Mapping[str, str] = {
    "mutatingadmissionpolicybindings": "mutatingadmissionpolicies",
    "validatingadmissionpolicybindings": "validatingadmissionpolicies",
}
#: From the kind of a policy to the plural of its resource.
POLICIES: Mapping[str, str] = {
    "MutatingAdmissionPolicy": "mutatingadmissionpolicies",
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
}
#: All kinds, policies and bindings.
KINDS = tuple(kind + suffix for kind in POLICIES for suffix in ("", "Binding"))
#: The plurals of all of them.
RESOURCES = (*POLICY_OF_BINDING.values(), *POLICY_OF_BINDING)
