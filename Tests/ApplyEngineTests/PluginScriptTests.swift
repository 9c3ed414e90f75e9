import Clusterfile
import FoundationEssentials
import LinuxSystem
import Remote
import Report
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import ApplyEngine

/// A host that runs commands on this machine, and notes their arguments.
private final class ThisMachine: UnaskedHost {
    let name = "here"
    private let words = Mutex<[String]>([])
    var arguments: [String] { words.withLock { $0 } }

    func run(
        _ command: RemoteCommand, limit: Duration, output: @escaping @Sendable (OutputLine) -> Void
    ) async throws -> CommandResult {
        words.withLock { $0 += command.arguments }
        let scratch = try Scratch()
        let input = scratch.path.appending("input")
        try AtomicFile.write(Array(command.input ?? Data()), to: input)
        let variables = command.environment.map { "\($0.key)=\($0.value)" }
        // Only what the command gets to read, its folder and its end are the shell's business.
        let text = try await #require(Program("bash")).run(
            ["-c", #"cd "$1"; env "${@:3}" <"$2" 2>&1; echo "status $?""#, "bash", command.workingDirectory ?? "/"]
                + [input.string] + variables + command.arguments, in: scratch.path, limit: limit)
        var lines = text.split(separator: "\n").map(String.init)
        let status = lines.removeLast().split(separator: " ").last.flatMap { Int32($0) }
        for line in lines { output(OutputLine(stream: .output, text: line)) }
        return CommandResult(
            status: try #require(status), output: Data(lines.joined(separator: "\n").utf8), error: Data())
    }
}

@Suite("A plugin's script")
struct PluginScriptTests {
    /// Runs a script.
    ///
    /// - Returns: what was kept of its output, the arguments that its commands had, and why it failed.
    private func run(
        _ data: String, isMaster: Bool = true, isGone: Bool = false, timeout: Int = 60
    ) async throws -> (
        kept: String, arguments: [String], failure: Failure?
    ) {
        let scratch = try Scratch()
        let host = ThisMachine()
        let script = PluginScript(
            Plugin(name: "p", kind: .shell, phases: [.postJoin], data: data, timeout: timeout), at: .postJoin,
            ["REGION": "north"], rootfs: scratch.path.string, isMaster: isMaster, isGone: isGone)
        let kept = Mutex("")
        var failure: Failure?
        do {
            try await SilentProgress().step("test") { step in
                try await script.run(on: host, step: step) { bytes in
                    kept.withLock { $0 = String(decoding: bytes, as: UTF8.self) }
                }
            }
        } catch let error as Failure {
            failure = error
        }
        return (kept.withLock { $0 }, host.arguments, failure)
    }

    @Test("runs in the rootfs with its environment, whatever its commands read, and what it prints is kept")
    func runs() async throws {
        let (kept, _, failure) = try await run(
            """
            cat; pwd | grep -q sealer-test && echo "here, $REGION, $KUBECONFIG"
            read -r line || echo "nothing to read"
            echo "${PATH%%:*}" | grep -o 'bin$'

            """)
        #expect(failure == nil)
        #expect(kept == "here, north, /etc/kubernetes/admin.conf\nnothing to read\nbin\n")
        #expect(try await run("pwd; echo ${KUBECONFIG-none}", isMaster: false, isGone: true).kept == "/\nnone\n")
    }

    @Test("ends at the first command that fails, also in a pipe, and what it printed before is kept")
    func fails() async throws {
        for data in ["echo before; false; echo after", "echo before\nfalse | cat\necho after\n"] {
            let (kept, _, failure) = try await run(data)
            #expect(kept == "before\n")
            #expect(failure?.kind == .commandFailed)
            #expect(failure?.what.contains("the plugin p at post-join failed with status 1") == true)
        }
    }

    @Test("that takes longer than its timeout fails, and the failure names it")
    func timeout() async throws {
        let (_, _, failure) = try await run("sleep 600", timeout: 1)
        #expect(failure?.kind == .timeout, "\(String(describing: failure))")
    }

    @Test("stands in no list of arguments: it may hold secrets")
    func secret() async throws {
        let (kept, arguments, failure) = try await run("test \"hush\" = 'hush' && echo done")
        #expect(failure == nil && kept == "done\n")
        #expect(!arguments.isEmpty && !arguments.contains { $0.contains("hush") })
    }

    @Test("is read to the last byte: blank lines at its end and documents within count")
    func whole() async throws {
        #expect(try await run("cat <<END\na\n\nEND\n\n\n").kept == "a\n")
    }
}
