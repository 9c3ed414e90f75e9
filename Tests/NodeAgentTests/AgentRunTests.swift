import FoundationEssentials
import Glibc
import LinuxSystem
import OCI
import Report
import SystemPackage
import TestSupport
import Testing

@testable import NodeAgent
@testable import Remote

@Suite struct AgentRunTests {
    @Test func streamsOutputAndTellsTheStatus() async throws {
        let pair = try await AgentPair.start()
        let seen = Seen<OutputLine>()
        let command = RemoteCommand(
            ["sh", "-c", "read x; echo \"$x $Y\"; echo bad >&2; printf end; exit 3"],
            environment: ["Y": "over"],
            input: Data("hello\n".utf8)
        )
        let result = try await pair.host.run(command, limit: .seconds(240), output: seen.add)
        #expect(result.status == 3)
        #expect(result.outputText == "hello over\nend")
        #expect(result.errorText == "bad\n")
        #expect(Set(seen.all.map(\.text)) == ["hello over", "bad", "end"])
        try await pair.stop()
    }

    @Test func aScriptIsReadFromStandardInput() async throws {
        let pair = try await AgentPair.start()
        let result = try await pair.host.run(.script("set -- a b\necho $#\nfalse\necho never"), limit: .seconds(240)) {
            _ in
        }
        #expect(result.outputText == "2\n")
        #expect(result.status == 1)
        try await pair.stop()
    }

    @Test func saysWhichProgramIsNotThere() async throws {
        let pair = try await AgentPair.start()
        let failure = await #expect(throws: Failure.self) {
            try await pair.host.run(RemoteCommand(["no-such-program"]), limit: .seconds(240)) { _ in }
        }
        #expect(failure?.kind == .notFound)
        #expect(failure?.place?.contains("demo-node-0") == true)
        try await pair.stop()
    }

    @Test func killsTheWholeGroupAtTheLimit() async throws {
        let pair = try await AgentPair.start()
        let seen = Seen<OutputLine>()
        // The command does not mind SIGTERM, and neither does its child.
        let command = RemoteCommand([
            "sh", "-c", "trap '' TERM; sh -c 'trap \"\" TERM; sleep 600 & echo $!; wait; wait' & wait; wait",
        ])
        let failure = await #expect(throws: Failure.self) {
            try await pair.host.run(command, limit: .seconds(20), output: seen.add)
        }
        #expect(failure?.kind == .timeout)
        #expect(failure?.place == "demo-node-0")
        let grandchild = try #require(pid_t(seen.all.first?.text ?? ""))
        #expect(failure.map { "\($0)".contains("\(grandchild)") } == true)
        try await Self.waitForEnd(of: grandchild)
        try await pair.stop()
    }

    @Test func aGrandchildThatHoldsThePipeDoesNotDelayTheEnd() async throws {
        let pair = try await AgentPair.start()
        let result = try await withLimit(.seconds(120), waitingFor: "the command") {
            try await pair.host.run(RemoteCommand(["sh", "-c", "sleep 600 & echo $!"]), limit: .seconds(240)) { _ in }
        }
        #expect(result.status == 0)
        let left = try #require(pid_t(result.outputText.dropLast()))
        #expect(kill(left, SIGKILL) == 0)
        try await pair.stop()
    }

    @Test func boundsHugeOutputAndKeepsItsEnds() async throws {
        let pair = try await AgentPair.start()
        let script =
            "head -c 30000000 /dev/zero | tr '\\0' a; head -c 300000 /dev/zero | tr '\\0' b >&2; printf END >&2"
        let result = try await pair.host.run(RemoteCommand(["sh", "-c", script]), limit: .seconds(240)) { _ in }
        #expect(result.status == 0)
        #expect(result.output.count == 4 << 20)
        #expect(result.error.count == 64 << 10)
        #expect(result.errorText.hasSuffix("bEND"))
        try await pair.stop()
    }

    @Test func inputThatNobodyReadsIsNoError() async throws {
        let pair = try await AgentPair.start()
        let command = RemoteCommand(["sh", "-c", "exec 0<&-; sleep 0.2; echo done"], input: Data(count: 20 << 20))
        #expect(try await pair.host.run(command, limit: .seconds(240)) { _ in }.outputText == "done\n")
        try await pair.stop()
    }

    @Test func cancellingEndsTheCommandThere() async throws {
        let pair = try await AgentPair.start()
        let seen = Seen<OutputLine>()
        let task = Task {
            try await pair.host.run(
                RemoteCommand(["sh", "-c", "sleep 600 & echo $!; wait"]), limit: .seconds(240), output: seen.add)
        }
        try await withLimit(.seconds(120), waitingFor: "the command to start") {
            while seen.all.isEmpty { try await Task.sleep(for: .milliseconds(10)) }
        }
        task.cancel()
        await #expect(throws: (any Error).self) { try await task.value }
        try await Self.waitForEnd(of: try #require(pid_t(seen.all[0].text)))
        // The connection lives on.
        #expect(try await pair.host.run(RemoteCommand(["true"]), limit: .seconds(240)) { _ in }.status == 0)
        try await pair.stop()
    }

    @Test func theEndOfTheConnectionEndsWhatRuns() async throws {
        let pair = try await AgentPair.start()
        let seen = Seen<OutputLine>()
        let task = Task {
            try await pair.host.run(
                RemoteCommand(["sh", "-c", "sleep 600 & echo $!; wait"]), limit: .seconds(240), output: seen.add)
        }
        try await withLimit(.seconds(120), waitingFor: "the command to start") {
            while seen.all.isEmpty { try await Task.sleep(for: .milliseconds(10)) }
        }
        try await pair.stop()
        let failure = await #expect(throws: Failure.self) { try await task.value }
        #expect(failure?.kind == .unreachable)
        #expect(failure?.place == "demo-node-0")
        try await Self.waitForEnd(of: try #require(pid_t(seen.all[0].text)))
        // What is asked afterwards fails at once, and in the same way.
        let later = await #expect(throws: Failure.self) { try await pair.host.facts() }
        #expect(later?.kind == .unreachable)
    }

    @Test func manyCommandsRunAtOnceAndNoneStarvesTheOthers() async throws {
        let pair = try await AgentPair.start()
        // One that pours out more than it may, unread until the others are through.
        let flood = Task {
            try await pair.host.run(RemoteCommand(["head", "-c", "200000000", "/dev/zero"]), limit: .seconds(240)) {
                _ in
            }
        }
        let numbers = try await withThrowingTaskGroup(of: Int.self) { group in
            for number in 0..<20 {
                group.addTask {
                    let result = try await pair.host.run(RemoteCommand(["echo", "\(number)"]), limit: .seconds(240)) {
                        _ in
                    }
                    return Int(result.outputText.dropLast()) ?? -1
                }
            }
            return try await group.reduce(into: Set<Int>()) { $0.insert($1) }
        }
        #expect(numbers == Set(0..<20))
        #expect(try await flood.value.status == 0)
        try await pair.stop()
    }

    private static func waitForEnd(of process: pid_t) async throws {
        try await withLimit(.seconds(120), waitingFor: "process \(process) to be gone") {
            while try isAlive(process) { try await Task.sleep(for: .milliseconds(20)) }
        }
    }

    /// A killed orphan may stay a zombie where process 1 does not reap.
    private static func isAlive(_ process: pid_t) throws -> Bool {
        do {
            let stat = String(decoding: try LinuxSystem.readFile(FilePath("/proc/\(process)/stat")), as: UTF8.self)
            return stat.split(separator: ")").last?.hasPrefix(" Z") != true
        } catch let failure as Failure where failure.kind == .notFound || failure.kind == .system {
            return false
        }
    }
}
