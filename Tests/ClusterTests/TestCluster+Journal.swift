import FoundationEssentials
import LinuxSystem
import SystemPackage
import Testing

extension TestCluster {
    private struct Line: Decodable {
        var event: String
        var run: String
        var step: String?
    }

    /// Looks whether the journal is true of commands that came one after the other for the same Clusterfile: what it calls done in
    /// one of them is not done again in the next, but for what is looked at each time, and what a host loses that is cleaned.
    func expectTruthfulJournal() throws {
        let text = try readFile(root.appending("clusters/\(name)/journal.jsonl"), limit: 64 << 20)
        var runs: [(name: String, began: [String], ended: [String])] = []
        for bytes in text.split(separator: UInt8(ascii: "\n")) {
            let line = try JSONDecoder().decode(Line.self, from: Data(bytes))
            if runs.last?.name != line.run { runs.append((line.run, [], [])) }
            guard let step = line.step else { continue }
            if line.event == "began" { runs[runs.count - 1].began.append(step) }
            if line.event == "ended" { runs[runs.count - 1].ended.append(step) }
        }
        #expect(Set(runs.map(\.name)).count == runs.count, "lines of several runs are mixed")
        for run in runs {
            #expect(Set(run.began).count == run.began.count, "\(run)")
            #expect(Set(run.ended).count == run.ended.count && Set(run.ended).isSubset(of: run.began), "\(run)")
        }
        for (former, latter) in zip(runs, runs.dropFirst()) {
            let cleaned = latter.began.filter { $0.hasPrefix("clean/") }.map { $0.dropFirst("clean".count) }
            let again = Set(former.ended).intersection(latter.began).subtracting(["ready", "pods", "record"])
                .filter { step in !cleaned.contains(where: step.hasSuffix) }
            #expect(again.isEmpty, "called done and done again in the next run: \(again.sorted())")
        }
    }
}
