import FoundationEssentials
import Glibc
import LinuxSystem
import Report
import SystemPackage
import TestSupport
import Testing

@testable import Remote

@Suite struct ChildProcessTests {
    private static func collect(_ child: ChildProcess) async throws -> (output: String, error: String, status: Int32) {
        var output = Data()
        var error = Data()
        while true {
            switch try await child.next(until: .now + .seconds(120)) {
            case .output(let bytes): output.append(bytes)
            case .error(let bytes): error.append(bytes)
            case .exited(let status):
                return (String(decoding: output, as: UTF8.self), String(decoding: error, as: UTF8.self), status)
            case .expired: throw Failure(.timeout, "the command did not end")
            }
        }
    }

    @Test func tellsOutputErrorAndStatus() async throws {
        let child = try await ChildProcess.start(
            RemoteCommand(
                ["sh", "-c", "echo out $X; pwd; echo err >&2; exit 7"],
                environment: ["X": "it is"],
                workingDirectory: "/usr"
            )
        )
        let result = try await Self.collect(child)
        #expect(result.output == "out it is\n/usr\n")
        #expect(result.error == "err\n")
        #expect(result.status == 7)
        #expect(try await child.next(until: .now) == .exited(7))
    }

    @Test func tellsTheSignalThatEndedIt() async throws {
        let child = try await ChildProcess.start(RemoteCommand(["sh", "-c", "kill -9 $$"]))
        #expect(try await Self.collect(child).status == 137)
    }

    @Test func readsItsInputToTheEnd() async throws {
        let child = try await ChildProcess.start(RemoteCommand(["wc", "-c"]))
        // More than a pipe holds.
        try await child.write(Data(count: 300_000))
        await child.closeInput()
        #expect(try await Self.collect(child).output == "300000\n")
    }

    @Test func losesNothingOfALotOfOutput() async throws {
        let child = try await ChildProcess.start(RemoteCommand(["head", "-c", "20000000", "/dev/zero"]))
        #expect(try await Self.collect(child).output.utf8.count == 20_000_000)
    }

    @Test func aChildOfItsOwnThatHoldsThePipeDoesNotDelayTheEnd() async throws {
        let child = try await ChildProcess.start(RemoteCommand(["sh", "-c", "sleep 600 & echo $!"]))
        let result = try await withLimit(.seconds(120), waitingFor: "the command to end") {
            try await Self.collect(child)
        }
        #expect(result.status == 0)
        let left = try #require(pid_t(result.output.split(separator: "\n").first ?? ""))
        #expect(kill(left, SIGKILL) == 0)
    }

    @Test func isTheLeaderOfItsOwnSession() async throws {
        let child = try await ChildProcess.start(RemoteCommand(["sh", "-c", "cut -d' ' -f1,5,6 /proc/$$/stat"]))
        let numbers = try await Self.collect(child).output.split(whereSeparator: \.isWhitespace)
        #expect(numbers.count == 3)
        #expect(Set(numbers).count == 1)
    }

    @Test func ignoresNoSignalThatWeIgnore() async throws {
        signal(SIGPIPE, SIG_IGN)
        let child = try await ChildProcess.start(
            RemoteCommand(["sh", "-c", "grep SigIgn /proc/$$/status; ls /proc/$$/fd"]))
        let words = try await Self.collect(child).output.split(whereSeparator: \.isWhitespace)
        // Those from 32 on belong to the C library.
        let ignored = try #require(UInt64(words[1], radix: 16))
        #expect(ignored & 0x7fff_ffff == 0)
        // Nor has it any file of ours but its three.
        #expect(words.dropFirst(2) == ["0", "1", "2"])
    }

    @Test func signalsReachTheWholeGroup() async throws {
        let child = try await ChildProcess.start(RemoteCommand(["sh", "-c", "sleep 600 & echo $!; wait"]))
        guard case .output(let line) = try await child.next(until: .now + .seconds(120)) else {
            Issue.record("the command printed nothing")
            return
        }
        let grandchild = try #require(pid_t(String(decoding: line.dropLast(), as: UTF8.self)))
        child.signal(SIGKILL)
        #expect(try await Self.collect(child).status == 137)
        try await withLimit(.seconds(120), waitingFor: "the grandchild to be gone") {
            while kill(grandchild, 0) == 0, try !Self.isZombie(grandchild) {
                try await Task.sleep(for: .milliseconds(20))
            }
        }
    }

    private static func isZombie(_ process: pid_t) throws -> Bool {
        do {
            let stat = String(decoding: try readFile(FilePath("/proc/\(process)/stat")), as: UTF8.self)
            return stat.split(separator: ")").last?.hasPrefix(" Z") == true
        } catch let failure as Failure where failure.kind == .notFound {
            return true
        }
    }

    @Test func saysWhichProgramOrFolderIsNotThere() async {
        let program = await #expect(throws: Failure.self) {
            _ = try await ChildProcess.start(RemoteCommand(["/no/such/program"]))
        }
        #expect(program?.kind == .notFound)
        #expect(program?.what.contains("/no/such/program") == true)
        let folder = await #expect(throws: Failure.self) {
            _ = try await ChildProcess.start(RemoteCommand(["/bin/true"], workingDirectory: "/no/such/folder"))
        }
        #expect(folder?.kind == .notFound)
        #expect(folder?.place == "/no/such/folder")
    }
}

@Suite struct LocalTransportTests {
    @Test func carriesBytesBothWays() async throws {
        let channel = try await LocalTransport().start(["/bin/cat"])
        let sent = Data((0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 7) })
        async let written: Void = channel.write(sent)
        var received = Data()
        while received.count < sent.count, let bytes = try await channel.read() { received.append(bytes) }
        try await written
        #expect(received == sent)
        await channel.closeInput()
        #expect(try await channel.read() == nil)
    }

    @Test func keepsTheEndOfWhatTheProgramComplained() async throws {
        let channel = try await LocalTransport().start(["/bin/sh", "-c", "echo something is wrong >&2"])
        #expect(try await channel.read() == nil)
        #expect(channel.errorTail == "something is wrong")
    }

    @Test func placesAFile() async throws {
        let scratch = try Scratch()
        let source = scratch.path.appending("source")
        try AtomicFile.write(Array("#!/bin/sh\necho yes\n".utf8), to: source)
        let target = scratch.path.appending("a").appending("b").appending("program")
        try await LocalTransport().place(source, at: target, permissions: FilePermissions(rawValue: 0o755))
        let channel = try await LocalTransport().start([target.string])
        #expect(try await channel.read() == Data("yes\n".utf8))
    }

    @Test func aReadThatWaitsEndsWithTheChannel() async throws {
        let channel = try await LocalTransport().start(["/bin/cat"])
        async let read = channel.read()
        try await Task.sleep(for: .milliseconds(100))
        await channel.terminate()
        #expect(try await read == nil)
    }
}
