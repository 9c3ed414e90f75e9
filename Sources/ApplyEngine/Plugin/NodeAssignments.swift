import ClusterRuntime
import Clusterfile

/// What plugins of the kinds `LABEL`, `TAINT` and `HOSTNAME` say of one host, each word only where no later plugin says otherwise:
/// two plugins never undo each other's work.
struct NodeAssignments {
    /// What one plugin says of the host's node.
    struct Change {
        var plugin: Plugin
        /// When it is done first; afterwards whenever it is not so any more.
        var phase: Plugin.Phase
        var labels: [String: String] = [:]
        var taints: [Taint] = []
        var removedTaints: [Plugin.RemovedTaint] = []

        /// What a node has otherwise, for people; empty when it has everything so.
        func differences(from node: NodeStatus) -> [String] {
            let lacking =
                labels.filter { node.labels[$0.key] != $0.value }.map { "\($0.key)=\($0.value)" }.sorted()
                + taints.map(\.description).filter { !node.taints.contains($0) }
            return (lacking.isEmpty ? [] : ["it lacks \(lacking.joined(separator: ", "))"])
                + excess(in: node).map { "it has \($0)" }
        }

        /// The taints of a node that must go, as kubectl names them.
        func excess(in node: NodeStatus) -> [String] {
            node.taints.filter { text in
                guard let (key, effect) = Self.parts(of: text) else { return false }
                // What is set takes the place of what was there.
                guard !taints.contains(where: { $0.key == key && $0.effect.rawValue == effect }) else { return false }
                return removedTaints.contains { $0.key == key && ($0.effect == nil || $0.effect?.rawValue == effect) }
            }
        }

        /// Key and effect of `key=value:Effect` or `key:Effect`.
        static func parts(of taint: String) -> (key: String, effect: String)? {
            guard let colon = taint.lastIndex(of: ":") else { return nil }
            let key = taint[..<colon].prefix { $0 != "=" }
            return (String(key), String(taint[taint.index(after: colon)...]))
        }
    }

    /// In the order in which they are made.
    private(set) var changes: [Change] = []
    /// The host name; nil when no plugin says one.
    private(set) var hostname: (name: String, plugin: String)?

    /// - Parameter plugins: sorted by name.
    /// - Throws: `Failure` of kind `invalidInput` when their data was never checked.
    init(_ plugins: [Plugin], for member: ClusterMember) throws {
        guard let address = member.address else { return }
        let ordered = plugins.compactMap { plugin in plugin.phases.min { $0.place < $1.place }.map { (plugin, $0) } }
            .filter { plugin, _ in
                // Empty or not: what the data says is for the hosts that it names.
                plugin.scope.isEmpty
                    || PluginRules.isInScope(plugin, at: .postInitHost, member: member, isFirst: false)
            }
            .enumerated().sorted {
                let (left, right) = ($0.element.1.place, $1.element.1.place)
                return left == right ? $0.offset < $1.offset : left < right
            }
        for (_, (plugin, phase)) in ordered {
            var change = Change(plugin: plugin, phase: phase)
            for assignment in try plugin.assignments() where assignment.host == address {
                switch assignment.change {
                case .labels(let labels): change.labels.merge(labels) { $1 }
                case .taints(let set, let removed):
                    // Of two values for a key and an effect the last counts.
                    for taint in set {
                        change.taints.removeAll { $0.key == taint.key && $0.effect == taint.effect }
                        change.taints.append(taint)
                    }
                    change.removedTaints += removed
                case .hostname(let name): hostname = (name, plugin.name)
                }
            }
            override(by: change)
            if !change.labels.isEmpty || !change.taints.isEmpty || !change.removedTaints.isEmpty {
                changes.append(change)
            }
        }
        changes.removeAll { $0.labels.isEmpty && $0.taints.isEmpty && $0.removedTaints.isEmpty }
    }

    private mutating func override(by later: Change) {
        for index in changes.indices {
            changes[index].labels = changes[index].labels.filter { later.labels[$0.key] == nil }
            changes[index].taints.removeAll { taint in later.speaks(of: taint.key, taint.effect) }
            changes[index].removedTaints.removeAll { removed in later.speaks(of: removed.key, removed.effect) }
        }
    }

    /// Whether a label is one of a plugin's.
    func hasLabel(_ key: String) -> Bool { changes.contains { $0.labels[key] != nil } }

    /// Whether a taint is one of a plugin's.
    func speaks(of taint: Taint) -> Bool { changes.contains { $0.speaks(of: taint.key, taint.effect) } }
}

extension NodeAssignments.Change {
    /// Whether it sets or takes away a taint.
    ///
    /// - Parameter effect: nil for all effects of the key.
    fileprivate func speaks(of key: String, _ effect: Taint.Effect?) -> Bool {
        taints.contains { $0.key == key && (effect == nil || $0.effect == effect) }
            || removedTaints.contains { $0.key == key && ($0.effect == nil || effect == nil || $0.effect == effect) }
    }
}
