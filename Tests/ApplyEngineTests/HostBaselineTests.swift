import LinuxSystem
import SystemPackage
import TestSupport
import Testing

@testable import ApplyEngine

@Suite("What a host had before")
struct HostBaselineTests {
    /// Runs a script in bash.
    private func run(_ script: String, in scratch: borrowing Scratch) async throws -> String {
        let file = scratch.path.appending("script")
        try AtomicFile.write(Array(script.utf8), to: file)
        return try await #require(Program("bash")).run(["-euo", "pipefail", file.string], in: scratch.path)
    }

    /// What the comparison with a list tells of, on this machine.
    private func changes(to list: String) async throws -> HostChanges {
        let scratch = try Scratch()
        let file = scratch.path.appending("baseline")
        try AtomicFile.write(Array(list.utf8), to: file)
        // One rule stands for those of this machine, which the test does not touch.
        let rules = "ip6tables-save() { printf -- '-A OURS -j ACCEPT\\n'; }\n"
        return HostChanges(
            comparison: try await run(rules + HostBaseline.comparison(with: file), in: scratch))
    }

    @Test("is compared line by line; what an older list does not say is not compared")
    func olderList() async throws {
        let oldest = try await changes(to: "file /etc/hosts\n")
        #expect(oldest.new.contains("user root"))
        #expect(!oldest.new.contains("file /etc/hosts"))
        #expect(oldest.new.filter { $0.contains("IPv6") || $0.contains("routing rule") } == [])
        // What it listed otherwise does not count as gone.
        let older = try await changes(to: "file /etc/hosts\nlisted IPv6\nmount /run/user/1000\n")
        #expect(older.gone == [] && older.changed == [])
        #expect(older.new.filter { $0.contains("IPv6") } == ["packet filter of IPv6 -A OURS -j ACCEPT"])
        #expect(older.new.filter { $0.contains("routing rule") } == [])
    }

    @Test("tells what is gone and what is another than before, and not what is as it was")
    func bothWays() async throws {
        let list = """
            content 00 /etc/hosts
            content 00 /etc/no-such-file
            file /etc/hosts
            file /etc/no-such-file
            kernel setting /proc/sys/net/ipv4/ip_forward 7
            kernel setting /proc/sys/net/ipv4/no-such-setting 1
            listed IPv6
            listed contents

            """
        let found = try await changes(to: list)
        #expect(found.gone == ["file /etc/no-such-file"])
        #expect(found.changed == ["file /etc/hosts", "kernel setting /proc/sys/net/ipv4/ip_forward"])
        #expect(found.new.contains("user root") && !found.new.contains("file /etc/hosts"))
        #expect(found.words?.contains("was there before and is not now: file /etc/no-such-file; is another") == true)
    }

    @Test("reads a comparison")
    func reading() {
        let found = HostChanges(
            comparison: """
                content aa /etc/a b
                \tcontent bb /etc/a b
                \tcontent cc /etc/new
                user old
                \tuser new
                kernel setting /proc/sys/x 0
                \tkernel setting /proc/sys/x 1
                \tkernel setting /proc/sys/y 1
                kernel setting /proc/sys/z
                kernel setting \u{20}
                """)
        #expect(found.new == ["user new"])
        // A line that says nothing, as a broken list may have it.
        #expect(found.gone == ["user old", "kernel setting  "])
        #expect(found.changed == ["file /etc/a b", "kernel setting /proc/sys/x"])
        #expect(HostChanges(comparison: "").words == nil)
    }

    @Test("is not compared when it cannot be listed")
    func brokenListing() async throws {
        let scratch = try Scratch()
        let file = scratch.path.appending("baseline")
        try AtomicFile.write(Array("listed contents\nuser root\n".utf8), to: file)
        let broken = "ip() { return 1; }\n" + HostBaseline.comparison(with: file)
        await #expect(throws: (any Error).self) { try await run(broken, in: scratch) }
    }

    @Test("leaves forwarding on where a device came that may need it, and tells")
    func forwarding() async throws {
        let scratch = try Scratch()
        let (list, forward, other) = (
            scratch.path.appending("list"), scratch.path.appending("ip_forward"), scratch.path.appending("panic")
        )
        for (device, expected) in [("network device lo\n", "1"), ("", "1"), ("all", "0")] {
            for file in [forward, other] { try AtomicFile.write(Array("1\n".utf8), to: file) }
            let devices =
                device == "all" ? "ip() { echo '1: lo: x'; }\n" : "ip() { printf '1: lo: x\\n2: new0: x\\n'; }\n"
            let known = device == "all" ? "network device lo\n" : device
            try AtomicFile.write(
                Array("kernel setting \(forward) 0\nkernel setting \(other) 0\n\(known)".utf8), to: list)
            // What this machine's own configuration says does not count here.
            let script = "grep() { [[ $* != *sysctl* ]] && command grep \"$@\"; }\n" + devices
            _ = try await run(script + HostBaseline.settingsRestoration(from: list), in: scratch)
            #expect(String(decoding: try readFile(forward, limit: 10), as: UTF8.self) == "\(expected)\n", "\(device)")
            #expect(String(decoding: try readFile(other, limit: 10), as: UTF8.self) == "0\n")
        }
    }

    @Test("gives the kernel back what it had, and says so")
    func settings() async throws {
        let scratch = try Scratch()
        let (list, kept, other) = (
            scratch.path.appending("list"), scratch.path.appending("kept"), scratch.path.appending("other")
        )
        try AtomicFile.write(Array("1\n".utf8), to: kept)
        try AtomicFile.write(Array("1\n".utf8), to: other)
        try AtomicFile.write(
            Array(
                """
                file /etc/hosts
                kernel setting \(kept) 1
                kernel setting \(other) 0
                kernel setting \(scratch.path)/gone 0

                """.utf8), to: list)
        let said = try await run(HostBaseline.settingsRestoration(from: list), in: scratch)
        #expect(said == "\(other) is 0 again\n")
        #expect(String(decoding: try readFile(other, limit: 10), as: UTF8.self) == "0\n")
        #expect(try Folder.names(in: scratch.path).contains("gone") == false)
        let none = try await run(HostBaseline.settingsRestoration(from: scratch.path.appending("none")), in: scratch)
        #expect(none == "")
    }
}
