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

        /// Takes a line of the data in: of two words for one thing the last counts.
        mutating func add(_ change: Plugin.Change) {
            switch change {
            case .labels(let labels): self.labels.merge(labels) { $1 }
            case .taints(let set, let removed):
                for taint in set {
                    taints.removeAll { $0.key == taint.key && $0.effect == taint.effect }
                    taints.append(taint)
                }
                removedTaints += removed
            case .hostname: break
            }
        }

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

    /// One line of a plugin's data, of one host.
    struct Line: Sendable {
        var plugin: Plugin
        var phase: Plugin.Phase
        var change: Plugin.Change
    }

    /// What plugins say, by host, in the order in which it is done: by their first phases, then by their names.
    ///
    /// - Parameter plugins: sorted by name.
    /// - Throws: `Failure` of kind `invalidInput` when their data was never checked.
    static func lines(of plugins: [Plugin]) throws -> [IPAddress: [Line]] {
        let ordered = plugins.compactMap { plugin in plugin.phases.min { $0.place < $1.place }.map { (plugin, $0) } }
            .enumerated().sorted {
                let (left, right) = ($0.element.1.place, $1.element.1.place)
                return left == right ? $0.offset < $1.offset : left < right
            }
        var lines: [IPAddress: [Line]] = [:]
        for (_, (plugin, phase)) in ordered {
            for assignment in try plugin.assignments() {
                lines[assignment.host, default: []].append(
                    Line(plugin: plugin, phase: phase, change: assignment.change))
            }
        }
        return lines
    }

    init(_ rules: PluginRules, for member: ClusterMember) {
        var rest = member.address.flatMap { rules.lines[$0] } ?? []
        while let first = rest.first {
            let own = rest.prefix { $0.plugin.name == first.plugin.name }
            rest.removeFirst(own.count)
            // Empty or not: what the data says is for the hosts that it names.
            guard
                first.plugin.scope.isEmpty
                    || PluginRules.isInScope(first.plugin, at: first.phase, member: member, isFirst: false)
            else { continue }
            let change = own.reduce(into: Change(plugin: first.plugin, phase: first.phase)) { $0.add($1.change) }
            for case .hostname(let name) in own.map(\.change) { hostname = (name, first.plugin.name) }
            override(by: change)
            changes.append(change)
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

    /// What kubectl is told to take taints away: it complains where there is none.
    static func removals(of taints: [String]) -> [String] {
        taints.compactMap(Change.parts).map { "\($0.key):\($0.effect)-" }
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
