import ApplyEngine
import ClusterRuntime
import FoundationEssentials
import LinuxSystem
import Report
import SystemPackage

/// Holds a life's journal against its plans and its hosts.
struct JournalReader {
    let life: ClusterLife
    private var known = 0

    init(life: ClusterLife) { self.life = life }

    /// Passes over what is there already.
    mutating func skip() throws { known = try text().count }

    /// The lines that have come since.
    private func lines() throws -> [JournalLine] {
        try text().dropFirst(known).map { try JSONDecoder().decode(JournalLine.self, from: Data($0)) }
    }

    private func text() throws -> [ArraySlice<UInt8>] {
        do {
            return Array(try readFile(life.folder.journal, limit: 256 << 20)).split(separator: UInt8(ascii: "\n"))
        } catch let failure as Failure where failure.kind == .notFound {
            return []
        }
    }

    /// A plan that was executed: each of its steps began and ended once, nothing else did, and each after those that it waits for.
    func checkSuccess(of plan: Plan) throws {
        let lines = try lines()
        var ended: Set<String> = []
        let steps = Dictionary(uniqueKeysWithValues: plan.steps.map { ($0.id, $0) })
        for line in lines {
            guard let id = line.step else { continue }
            switch line.event {
            case .began:
                let after = steps[id]?.after ?? []
                try life.check(after.allSatisfy(ended.contains), "the journal says that \(id) began before \(after)")
            case .ended: try life.check(ended.insert(id).inserted, "the journal says twice that \(id) ended")
            default: try life.check(false, "the journal says that \(id) \(line.event), and all went well")
            }
        }
        try life.check(
            ended == Set(steps.keys),
            "of the plan's steps the journal lacks or has too many: \(ended.symmetricDifference(steps.keys).sorted())")
        try checkHosts(lines)
    }

    /// A run that failed says so, and what it says to be done is done.
    func checkFailure() throws {
        let lines = try lines()
        // Whoever could not even look has nothing to write down.
        guard let opened = lines.first else { return }
        try life.check(opened.event == .opened && lines.last?.event == .closed, "a run without begin or end")
        let closed = lines.last?.message
        let failed = lines.contains { $0.event == .failed }
        try life.check(closed != nil || !failed, "a step failed, and the journal says that all went well")
        var pending: Set<String> = []
        for line in lines {
            guard let id = line.step else { continue }
            if line.event == .began {
                try life.check(pending.insert(id).inserted, "the journal says that \(id) began twice")
            } else {
                try life.check(
                    pending.remove(id) != nil, "the journal says that \(id) \(line.event), and it never began")
            }
        }
        try life.check(pending.isEmpty, "the journal knows no end of \(pending.sorted())")
        try checkHosts(lines)
    }

    /// What is said to have ended is so on the hosts and in the cluster.
    private func checkHosts(_ lines: [JournalLine]) throws {
        let (machines, nodes) = life.world.with { ($0.machines, Array($0.nodes.values)) }
        let left = Set(lines.compactMap { line in line.event == .began ? line.step : nil })
        for line in lines where line.event == .ended {
            guard let id = line.step, let host = line.host, let machine = machines[host], !machine.isOff else {
                continue
            }
            // A host that another one takes the place of is reset before.
            let isMember = nodes.contains { $0.address == host }
            switch id {
            case "init", "join/\(host)": try life.check(isMember, "the journal says \(id), and \(host) is no node")
            case "reset/\(host)":
                try life.check(
                    machine.isClean || left.contains("unpack/\(host)"),
                    "the journal says \(id), and there are \(machine.files.keys.sorted())")
            default: break
            }
        }
    }
}
