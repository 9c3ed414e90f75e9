import FoundationEssentials
import Glibc
import LinuxSystem
import Remote
import Report
import SystemPackage
import TestSupport
import Testing

@testable import ClusterRuntime

@Suite("A file that is written in place")
struct FileInPlaceTests {
    /// What a host is told to do, done by a real bash to files of the test's own.
    private func write(_ new: String, over old: String, cutAfter line: Int? = nil) async throws -> String {
        let scratch = try Scratch()
        let host = ScriptedNode("h", files: ["/etc/hosts": old]) { _, _ in .succeeded() }
        try await FileInPlace.write(Data(new.utf8), to: "/etc/hosts", on: host)
        let command = try #require(host.commands.last)
        let (file, staged) = (scratch.path.appending("hosts"), scratch.path.appending("staged"))
        try AtomicFile.write(Array(old.utf8), to: file)
        let before = try inode(of: file)
        let content = try #require(host.files[command.environment["STAGED"] ?? ""])
        try AtomicFile.write(Array(content.utf8), to: staged)
        var script = String(decoding: command.input ?? Data(), as: UTF8.self)
        if let line {
            let lines = script.split(separator: "\n", omittingEmptySubsequences: false)
            script = (lines.prefix(line) + ["kill -9 $$"] + lines.dropFirst(line)).joined(separator: "\n")
        }
        let path = scratch.path.appending("script")
        try AtomicFile.write(Array(script.utf8), to: path)
        let outcome = try await #require(Program("bash")).run(
            ["-c", "env STAGED=\(staged) FILE=\(file) SIZE=\(new.utf8.count) bash -euo pipefail -s <\(path) || true"],
            in: scratch.path)
        #expect(outcome == "")
        #expect(try inode(of: file) == before, "it was replaced")
        return String(decoding: try readFile(file, limit: 1 << 20), as: UTF8.self)
    }

    private func inode(of file: FilePath) throws -> ino_t {
        var information = stat()
        try #require(stat(file.string, &information) == 0)
        return information.st_ino
    }

    @Test(
        "has the new content, be it longer or shorter",
        arguments: [("a\n", "a\nb\n"), ("a\nb\nc\n", "a\n"), ("", "a\n")])
    func whole(old: String, new: String) async throws {
        #expect(try await write(new, over: old) == new)
    }

    @Test("has nothing but the new content and empty lines when its writer is killed before the end")
    func killed() async throws {
        let old = "127.0.0.1 localhost\n# begin\n10.0.0.2 a\n# end\n"
        let left = try await write("127.0.0.1 localhost\n", over: old, cutAfter: 1)
        #expect(left == "127.0.0.1 localhost\n" + String(repeating: "\n", count: old.utf8.count - 20))
    }

    @Test("is left alone when it has the content")
    func same() async throws {
        let host = ScriptedNode("h", files: ["/etc/hosts": "a\n"]) { _, _ in .failed("nothing is to be done") }
        try await FileInPlace.write(Data("a\n".utf8), to: "/etc/hosts", on: host)
        #expect(host.commands.isEmpty)
    }

    @Test("half a script does nothing")
    func half() async throws {
        let scratch = try Scratch()
        let file = scratch.path.appending("made")
        let command = RemoteCommand.script("# first\ntouch \(file)\ntrue")
        let text = String(decoding: command.input ?? Data(), as: UTF8.self)
        let path = scratch.path.appending("script")
        for length in 0...text.utf8.count {
            try AtomicFile.write(Array(text.utf8.prefix(length)), to: path)
            let status = try await #require(Program("bash")).run(
                ["-c", "bash -euo pipefail -s <\(path) 2>/dev/null; echo $?"], in: scratch.path)
            // The line break behind the end is no part of it.
            let isWhole = length >= text.utf8.count - 1
            #expect((access(file.string, F_OK) == 0) == isWhole, "after \(length) bytes: \(status)")
        }
    }
}
