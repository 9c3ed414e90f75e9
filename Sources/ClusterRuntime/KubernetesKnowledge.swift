import Clusterfile
import YAML

/// What versions of Kubernetes know and do not know: tables, so that nothing is passed to a version that would refuse it.
///
/// Only what fails is listed. What is in no table is passed on as it is.
enum KubernetesKnowledge {
    /// A flag of a component, or a feature gate.
    struct Entry: Hashable {
        /// The name without dashes.
        var name: String
        /// The first version that knows it; nil for all old ones.
        var since: KubernetesVersion?
        /// The first version that does not know it any more; nil for all new ones.
        var until: KubernetesVersion?
        /// What says the same in the versions that do not know it.
        var replacement: String?

        init(_ name: String, since: Int? = nil, until: Int? = nil, replacement: String? = nil) {
            self.name = name
            self.since = since.map { KubernetesVersion(1, $0) }
            self.until = until.map { KubernetesVersion(1, $0) }
            self.replacement = replacement
        }

        func isKnown(to version: KubernetesVersion) -> Bool {
            if let since, version < since { return false }
            if let until, version >= until { return false }
            return true
        }
    }

    /// Flags by component.
    static let flags: [KubeadmArguments.Component: [Entry]] = [
        .apiServer: logFlags + [
            // Without effect since 1.20, gone with 1.24 (CHANGELOG-1.24, #106859).
            Entry("insecure-port", until: 24), Entry("insecure-bind-address", until: 24),
            // Gone with 1.22: kubelets are asked over TLS always.
            Entry("kubelet-https", until: 22),
        ],
        .controllerManager: logFlags + [
            // Serving without TLS, gone with 1.24.
            Entry("address", until: 24), Entry("port", until: 24),
            // Renamed in 1.19.
            Entry("experimental-cluster-signing-duration", until: 19, replacement: "cluster-signing-duration"),
            Entry("cluster-signing-duration", since: 19, replacement: "experimental-cluster-signing-duration"),
            // Eviction is by taints only from 1.27 on.
            Entry("pod-eviction-timeout", until: 27), Entry("enable-taint-manager", until: 27),
        ],
        .scheduler: logFlags + [
            Entry("address", until: 24), Entry("port", until: 24),
            // Policies of the scheduler are gone with 1.23.
            Entry("algorithm-provider", until: 23), Entry("policy-config-file", until: 23),
            Entry("policy-configmap", until: 23), Entry("policy-configmap-namespace", until: 23),
        ],
        .kubelet: logFlags + [
            // dockershim and its flags are gone with 1.24.
            Entry("network-plugin", until: 24), Entry("network-plugin-mtu", until: 24),
            Entry("cni-bin-dir", until: 24), Entry("cni-conf-dir", until: 24), Entry("cni-cache-dir", until: 24),
            Entry("image-pull-progress-deadline", until: 24), Entry("docker-endpoint", until: 24),
            // There is only one kind of container runtime from 1.27 on.
            Entry("container-runtime", until: 27),
        ],
        .etcd: [],
    ]

    /// KEP-2845: flags of klog, gone with 1.26.
    private static let logFlags: [Entry] = [
        "add-dir-header", "alsologtostderr", "log-backtrace-at", "log-dir", "log-file", "log-file-max-size",
        "logtostderr",
        "one-output", "skip-headers", "skip-log-headers", "stderrthreshold",
    ].map { Entry($0, until: 26) }

    /// Feature gates of Kubernetes' components. A gate that is gone was either always on by then, or its feature is gone
    /// (https://kubernetes.io/docs/reference/command-line-tools-reference/feature-gates-removed/).
    static let gates: [Entry] = [
        Entry("CSIMigration", since: 14, until: 27),
        // Others than kubelet know it up to 1.25, where it has no effect.
        Entry("DynamicKubeletConfig", until: 24),
        Entry("EphemeralContainers", since: 16, until: 27),
        Entry("IPv6DualStack", since: 15, until: 25),
        Entry("ServiceTopology", since: 17, until: 23),
        Entry("TTLAfterFinished", since: 12, until: 25),
        Entry("VolumeSnapshotDataSource", since: 12, until: 23),
    ]

    /// Feature gates of kubeadm's own.
    static let kubeadmGates: [Entry] = [
        Entry("ControlPlaneKubeletLocalMode", since: 31),
        Entry("EtcdLearnerMode", since: 27),
        Entry("IPv6DualStack", since: 16, until: 24),
        Entry("NodeLocalCRISocket", since: 32),
        Entry("PublicKeysECDSA", since: 19),
        Entry("RootlessControlPlane", since: 22),
        Entry("UnversionedKubeletConfigMap", since: 22, until: 26),
        Entry("WaitForAllControlPlaneComponents", since: 30),
    ]

    /// A field of kubeadm's documents that not all of its API versions have.
    struct Field: Hashable {
        var kind: KubeadmDocument.Kind
        var path: [String]
        /// The first and the last version of the API that have it.
        var apis: ClosedRange<KubeadmAPI>
        /// Where the other versions have it, in the same document; nil for nowhere.
        var elsewhere: [String]?
    }

    /// Fields by document.
    static let fields: [Field] = {
        var fields = [
            Field(kind: .clusterConfiguration, path: ["dns", "type"], apis: .v1beta2 ... .v1beta2),
            Field(kind: .clusterConfiguration, path: ["useHyperKubeImage"], apis: .v1beta2 ... .v1beta2),
            Field(
                kind: .clusterConfiguration, path: ["apiServer", "timeoutForControlPlane"],
                apis: .v1beta2 ... .v1beta3),
            Field(
                kind: .joinConfiguration, path: ["discovery", "timeout"], apis: .v1beta2 ... .v1beta3,
                elsewhere: ["timeouts", "discovery"]),
            Field(
                kind: .joinConfiguration, path: ["timeouts", "discovery"], apis: .v1beta4 ... .v1beta4,
                elsewhere: ["discovery", "timeout"]),
        ]
        for path in [
            ["certificateValidityPeriod"], ["caCertificateValidityPeriod"], ["encryptionAlgorithm"], ["proxy"],
            ["dns", "disabled"], ["apiServer", "extraEnvs"], ["controllerManager", "extraEnvs"],
            ["scheduler", "extraEnvs"], ["etcd", "local", "extraEnvs"],
        ] {
            fields.append(Field(kind: .clusterConfiguration, path: path, apis: .v1beta4 ... .v1beta4))
        }
        for kind in [KubeadmDocument.Kind.initConfiguration, .joinConfiguration] {
            for path in [["skipPhases"], ["patches"], ["nodeRegistration", "imagePullPolicy"]] {
                fields.append(Field(kind: kind, path: path, apis: .v1beta3 ... .v1beta4))
            }
            for path in [["dryRun"], ["timeouts"], ["nodeRegistration", "imagePullSerial"]] {
                fields.append(Field(kind: kind, path: path, apis: .v1beta4 ... .v1beta4))
            }
        }
        return fields
    }()

    // MARK: - Using the tables

    /// A document without what the version does not know.
    ///
    /// - Parameters:
    ///   - fields: with arguments as maps (`KubeadmArguments`).
    ///   - notes: is told what was left out or said otherwise.
    static func known(
        _ fields: YAMLMapping, of kind: KubeadmDocument.Kind, to version: KubernetesVersion, api: KubeadmAPI,
        notes: inout [String]
    ) -> YAMLMapping {
        var result = fields
        for field in self.fields where field.kind == kind && !field.apis.contains(api) {
            guard let value = result[path: field.path] else { continue }
            result[path: field.path] = nil
            let name = "\(kind.rawValue).\(field.path.joined(separator: "."))"
            if let elsewhere = field.elsewhere {
                if result[path: elsewhere] == nil { result[path: elsewhere] = value }
            } else {
                notes.append("\(name) is left out: kubeadm of \(version) does not have it")
            }
        }
        for place in KubeadmArguments.places where place.kind == kind {
            guard var map = result[path: place.path]?.mapping else { continue }
            for entry in flags[place.component] ?? [] where !entry.isKnown(to: version) {
                guard let value = map[entry.name] else { continue }
                map[entry.name] = nil
                if let replacement = entry.replacement {
                    if map[replacement] == nil { map[replacement] = value }
                } else {
                    notes.append("\(place.component.rawValue) --\(entry.name) is left out: \(version) does not know it")
                }
            }
            if let list = map["feature-gates"] {
                map["feature-gates"] = knownGates(list, of: place.component.rawValue, version, &notes)
            }
            result[path: place.path] = YAMLNode(map)
        }
        if let gates = result["featureGates"]?.mapping {
            let table = kind == .clusterConfiguration ? kubeadmGates : self.gates
            var known = gates
            for entry in table where gates[entry.name] != nil && !entry.isKnown(to: version) {
                known[entry.name] = nil
                notes.append("feature gate \(entry.name) is left out of \(kind.rawValue): \(version) does not know it")
            }
            result["featureGates"] = known.isEmpty ? nil : YAMLNode(known)
        }
        return result
    }

    /// `A=true,B=false` without the gates that the version does not know; nil when none is left.
    private static func knownGates(
        _ value: YAMLNode, of component: String, _ version: KubernetesVersion, _ notes: inout [String]
    ) -> YAMLNode? {
        let text = (value.sequence ?? [value]).compactMap(\.scalar?.text).joined(separator: ",")
        let kept = text.split(separator: ",").filter { gate in
            let name = gate.prefix { $0 != "=" }
            guard let entry = gates.first(where: { $0.name == name }), !entry.isKnown(to: version) else { return true }
            notes.append("feature gate \(name) of \(component) is left out: \(version) does not know it")
            return false
        }
        return kept.isEmpty ? nil : YAMLNode(kept.joined(separator: ","))
    }
}
