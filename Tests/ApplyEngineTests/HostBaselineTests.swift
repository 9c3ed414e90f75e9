import LinuxSystem
import SystemPackage
import TestSupport
import Testing

@testable import ApplyEngine

@Suite("What a host had before")
struct HostBaselineTests {
    /// What the comparison with a list tells of, on this machine.
    private func additions(to list: String) async throws -> [Substring] {
        let scratch = try Scratch()
        let file = scratch.path.appending("baseline")
        let script = scratch.path.appending("script")
        try AtomicFile.write(Array(list.utf8), to: file)
        // One rule stands for those of this machine, which the test does not touch.
        let rules = "ip6tables-save() { printf -- '-A OURS -j ACCEPT\\n'; }\n"
        try AtomicFile.write(Array((rules + HostBaseline.comparison(with: file)).utf8), to: script)
        return try await #require(Program("bash")).run(["-euo", "pipefail", script.string], in: scratch.path).split(
            separator: "\n")
    }

    @Test("is compared line by line; of rules for IPv6, an older list says nothing, and so does the comparison")
    func olderList() async throws {
        let older = try await additions(to: "file /etc/hosts\n")
        #expect(older.contains("user root"))
        #expect(!older.contains("file /etc/hosts"))
        #expect(older.filter { $0.contains("IPv6") } == [])
        let newer = try await additions(to: "file /etc/hosts\nlisted IPv6\n")
        #expect(newer.filter { $0.contains("IPv6") } == ["packet filter of IPv6 -A OURS -j ACCEPT"])
    }
}
