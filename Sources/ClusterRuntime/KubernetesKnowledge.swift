import Clusterfile
import YAML

/// What versions of Kubernetes know and do not know: tables, so that nothing is passed to one that would refuse it.
///
/// Only what fails is listed. What is in no table is passed on as it is; of a feature gate that is in none the user is warned.
enum KubernetesKnowledge {
    /// A flag of a component, or a feature gate.
    struct Entry: Hashable {
        /// The name without dashes.
        var name: String
        /// The first version that knows it; nil for all old ones.
        var since: KubernetesVersion?
        /// The first version to which it is not passed any more; nil for all new ones.
        var until: KubernetesVersion?
        /// What says the same in the versions that do not know it.
        var replacement: String?

        init(_ name: String, since: Int? = nil, until: Int? = nil, replacement: String? = nil) {
            self.name = name
            self.since = since.map { KubernetesVersion(1, $0) }
            self.until = until.map { KubernetesVersion(1, $0) }
            self.replacement = replacement
        }

        func isKnown(to version: KubernetesVersion) -> Bool { reasonAgainst(version) == nil }

        /// Why it is not passed to a version; nil when it is.
        func reasonAgainst(_ version: KubernetesVersion) -> String? {
            if let since, version < since { return "\(version) does not know it yet" }
            if let until, version >= until { return "\(version) leaves no choice in it any more" }
            return nil
        }
    }

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
            for entry in flags[place.component] ?? [] {
                guard let value = map[entry.name], let reason = entry.reasonAgainst(version) else { continue }
                map[entry.name] = nil
                if let replacement = entry.replacement {
                    if map[replacement] == nil { map[replacement] = value }
                } else {
                    notes.append("\(place.component.rawValue) --\(entry.name) is left out: \(reason)")
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
            for name in gates.entries.map(\.key) {
                guard let reason = table[name]?.reasonAgainst(version) else { continue }
                known[name] = nil
                notes.append("feature gate \(name) is left out of \(kind.rawValue): \(reason)")
            }
            result["featureGates"] = known.isEmpty ? nil : YAMLNode(known)
        }
        return result
    }

    /// Feature gates that no table can have: those that 1.15 knows and 1.36 still does, and two that came with patch releases.
    private static let lastingGates: Set<String> = [
        "AllAlpha", "AllBeta", "APIResponseCompression", "CustomCPUCFSQuotaPeriod", "OrderedNamespaceDeletion",
        "LocalStorageCapacityIsolationFSQuotaMonitoring", "ProcMountType", "QOSReserved",
        "RotateKubeletServerCertificate", "StatefulSetSemanticRevisionComparison", "StorageVersionHash", "WinDSR",
        "WinOverlay",
    ]

    /// Warnings of the feature gates of a document that are in no table: they may be misspelt, and who does not know them does
    /// not start.
    ///
    /// - Parameter fields: with arguments as maps (`KubeadmArguments`).
    static func strangeGates(_ fields: YAMLMapping, of kind: KubeadmDocument.Kind) -> [String] {
        var found: [(name: String, place: String)] = []
        // etcd has gates of its own.
        for place in KubeadmArguments.places where place.kind == kind && place.component != .etcd {
            guard let value = fields[path: place.path + ["feature-gates"]] else { continue }
            found += gateList(value).map { (gateName($0), place.component.rawValue) }
        }
        let strange = found.filter { gates[$0.name] == nil && !lastingGates.contains($0.name) }
        let own = (fields["featureGates"]?.mapping?.entries.map(\.key) ?? []).filter { name in
            kind == .clusterConfiguration
                ? kubeadmGates[name] == nil : gates[name] == nil && !lastingGates.contains(name)
        }
        return (strange + own.map { ($0, kind.rawValue) }).map { name, place in
            "sealer does not know the feature gate \(name) of \(place): it is passed on as it is, and what does not know it "
                + "does not start"
        }
    }

    /// The items of `A=true,B=false`, which may come several times.
    private static func gateList(_ value: YAMLNode) -> [Substring] {
        let texts = (value.sequence ?? [value]).compactMap(\.scalar?.text)
        return texts.joined(separator: ",").split(separator: ",")
    }

    private static func gateName(_ gate: Substring) -> String { String(gate.prefix { $0 != "=" }) }

    /// `A=true,B=false` without the gates that the version does not know; nil when none is left.
    private static func knownGates(
        _ value: YAMLNode, of component: String, _ version: KubernetesVersion, _ notes: inout [String]
    ) -> YAMLNode? {
        let kept = gateList(value).filter { gate in
            let name = gateName(gate)
            guard let reason = gates[name]?.reasonAgainst(version) else { return true }
            notes.append("feature gate \(name) of \(component) is left out: \(reason)")
            return false
        }
        return kept.isEmpty ? nil : YAMLNode(kept.joined(separator: ","))
    }
}
