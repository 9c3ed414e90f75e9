import FoundationEssentials
import Glibc
import LinuxSystem
import OCI
import Report
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import Remote

/// What was seen while something else went on.
private final class Watch: Sendable {
    struct State {
        var isDone = false
        var rounds = 0
        var asking = 0
    }

    private let state = Mutex(State())
    var value: State { state.withLock { $0 } }
    func note(_ change: (inout State) -> Void) { state.withLock { change(&$0) } }
}

/// What becomes of connections that break, hosts that are not there, and secrets meanwhile.
@Suite(.enabled("needs root, OpenSSH's client and server, sudo, openssl and unshare") { SSHServer.isPossible })
struct SSHFaultTests {
    @Test func aLostConnectionIsMadeAnew() async throws {
        try await SSHServer.with { server in
            let transport = try server.transport(.nora)
            let channel = try await transport.start(["/bin/sh", "-c", "echo begun; echo trouble >&2; exec cat"])
            #expect(try await channel.read() == Data("begun\n".utf8))
            try server.killSessions()
            let failure = await #expect(throws: Failure.self) {
                try await withLimit(.seconds(120), waitingFor: "the channel to end") {
                    while try await channel.read() != nil {}
                }
            }
            #expect(failure?.kind == .unreachable)
            #expect(failure?.place == "demo-node-0")
            #expect(channel.errorTail.contains("trouble"))
            await channel.terminate()
            #expect(try await run(transport, ["/usr/bin/id", "-u"]) == Data("0\n".utf8))
            // An unused one that broke is noticed as well.
            try server.killSessions()
            #expect(try await run(transport, ["/usr/bin/id", "-u"]) == Data("0\n".utf8))
            try server.killSessions()
            // It may say that all is well when the end is not here yet; what comes after that works all the same.
            try await transport.reach()
            #expect(try await run(transport, ["/usr/bin/id", "-u"]) == Data("0\n".utf8))
            let logins = try server.logged("Accepted publickey for nora")
            #expect(logins == 4)

            try await transport.close()
        }
    }

    @Test func manyAtOnceShareOneConnection() async throws {
        try await SSHServer.with { server in
            let transport = try server.transport(.nora)
            try await withThrowingTaskGroup(of: Data.self) { group in
                for index in 0..<8 {
                    group.addTask { try await run(transport, ["/bin/echo", "\(index)"]) }
                }
                let outputs = try await group.reduce(into: Set<Data>()) { $0.insert($1) }
                #expect(outputs.count == 8)
            }
            #expect(try server.logged("Accepted publickey for nora") == 1)
            try await transport.close()
        }
    }

    @Test func nothingIsLeft() async throws {
        try await SSHServer.with { server in
            let sockets = server.folder.appending("run")
            let transport = try server.transport(.root)
            let channel = try await transport.start(["/bin/sleep", "1000"])
            #expect(try Folder.names(in: sockets).count == 1)
            let folder = sockets.appending(try #require(try Folder.names(in: sockets).first))
            var information = stat()
            #expect(stat(folder.string, &information) == 0 && information.st_mode & 0o777 == 0o700)
            #expect(!Processes.showing(folder.string).isEmpty)
            try await transport.close()
            #expect(try Folder.names(in: sockets).isEmpty)
            try await withLimit(.seconds(120), waitingFor: "ssh to end") {
                while !Processes.showing(folder.string).isEmpty { try await Task.sleep(for: .milliseconds(50)) }
            }
            await channel.terminate()
            let failure = await #expect(throws: Failure.self) { try await transport.reach() }
            #expect(failure?.what.contains("closed") == true)
        }
    }

    @Test func aTransportThatIsForgottenEndsItsConnection() async throws {
        try await SSHServer.with { server in
            let sockets = server.folder.appending("run")
            func use() async throws { try await server.transport(.root).reach() }
            try await use()
            try await withLimit(.seconds(120), waitingFor: "ssh to end") {
                while try !Folder.names(in: sockets).isEmpty || !Processes.showing(sockets.string).isEmpty {
                    try await Task.sleep(for: .milliseconds(50))
                }
            }
        }
    }

    @Test func noSecretShowsInProcesses() async throws {
        try await SSHServer.with { server in
            let password = server.password
            let watch = Watch()
            let secrets = SSHSecrets(
                password: {
                    // ssh and its askpass wait for this answer now.
                    watch.note { $0.asking = Processes.showing(AskPass.socketVariable).count }
                    #expect(Processes.showing(password).isEmpty)
                    return password
                },
                sudoPassword: { password })
            let transport = try server.transport(.paul, secrets: secrets)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    while !watch.value.isDone {
                        let showing = Processes.showing(password)
                        #expect(showing.isEmpty, "\(showing.map { Processes.commandLine($0) })")
                        watch.note { $0.rounds += 1 }
                        try await Task.sleep(for: .milliseconds(1))
                    }
                }
                group.addTask {
                    defer { watch.note { $0.isDone = true } }
                    let channel = try await transport.start([
                        "/bin/sh", "-c", "env; echo; exec cat /proc/*/environ /proc/*/cmdline",
                    ])
                    var output = Data()
                    while let bytes = try await channel.read() { output.append(bytes) }
                    #expect(output.firstRange(of: Data(password.utf8)) == nil)
                }
                try await group.waitForAll()
            }
            #expect(watch.value.asking >= 2)
            #expect(watch.value.rounds > 0)
            try await transport.close()
            #expect(!String(describing: secrets).contains(password))
            #expect(!String(reflecting: SSHSecrets.known(password: password, passphrase: password)).contains(password))
            var dumped = ""
            dump(SSHSecrets.known(password: password), to: &dumped)
            #expect(!dumped.contains(password))
        }
    }

    @Test func onlyAskedForByItsOwnUser() async throws {
        let scratch = try Scratch()
        let path = scratch.path.appending("a")
        #expect(chmod(scratch.path.string, 0o777) == 0)
        let server = try AskPassServer(at: path)
        #expect(chmod(path.string, 0o777) == 0)
        let count = Mutex(0)
        let serving = Task {
            try await server.serve { _ in
                count.withLock { $0 += 1 }
                return "secret"
            }
        }
        defer { serving.cancel() }
        let setpriv = try #require(Program("setpriv"))
        let python = """
            import socket
            s = socket.socket(socket.AF_UNIX)
            try:
                s.connect('\(path)')
                s.send(b'x')
                s.shutdown(1)
                print(s.recv(100).decode())
            except ConnectionError:
                print('')
            """
        let own = try await setpriv.run(["python3", "-c", python], in: scratch.path)
        #expect(own == "+secret\n")
        let others = try await setpriv.run(
            ["--reuid=65534", "--regid=65534", "--clear-groups", "python3", "-c", python], in: scratch.path)
        #expect(others == "\n")
        #expect(count.withLock { $0 } == 1)
    }

    @Test func placesFiles() async throws {
        try await SSHServer.with { server in
            let transport = try server.transport(.paul, secrets: .known(password: server.password))
            let source = server.folder.appending("source")
            try AtomicFile.write(Data((0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 7 >> 2) }), to: source)
            let folder = server.folder.appending("new 'folder'").appending("below")
            let target = folder.appending("a file; $x")
            for mode in [UInt32(0o755), 0o600] {
                try await transport.place(source, at: target, permissions: FilePermissions(rawValue: mode))
                #expect(try readFile(target) == readFile(source))
                var information = stat()
                #expect(stat(target.string, &information) == 0)
                #expect(information.st_mode & 0o7777 == mode)
                #expect(information.st_uid == 0)
                #expect(stat(folder.string, &information) == 0 && information.st_mode & 0o777 == 0o755)
            }
            #expect(try Folder.names(in: folder) == ["a file; $x"])

            let empty = server.folder.appending("empty")
            try AtomicFile.write(Data(), to: empty)
            try await transport.place(empty, at: target, permissions: [.ownerRead])
            #expect(try readFile(target).isEmpty)

            // What the host says is told.
            let onFile = await #expect(throws: Failure.self) {
                try await transport.place(source, at: source.appending("x"), permissions: [.ownerRead])
            }
            #expect(onFile?.kind == .system)
            #expect(
                onFile?.description.contains("ot a directory") == true
                    || onFile?.description.contains("File exists") == true)
            let onFolder = await #expect(throws: Failure.self) {
                try await transport.place(source, at: folder, permissions: [.ownerRead])
            }
            #expect(onFolder?.description.contains("is a folder") == true)
            let none = await #expect(throws: Failure.self) {
                try await transport.place(server.folder.appending("none"), at: target, permissions: [.ownerRead])
            }
            #expect(none?.kind == .notFound)
            #expect(try Folder.names(in: folder) == ["a file; $x"])
            try await transport.close()
        }
    }

    @Test func aFullDiskIsTold() async throws {
        try await SSHServer.with { server in
            let transport = try server.transport(.nora)
            let small = server.folder.appending("small")
            try await run(
                transport,
                ["/bin/sh", "-c", "mkdir \(small) && mount -t tmpfs -o size=1m tmpfs \(small) && ls -l /proc/1/ns/mnt"])
            let source = server.folder.appending("source")
            try AtomicFile.write(Data(count: 30_000_000), to: source)
            let failure = await #expect(throws: Failure.self) {
                try await transport.place(source, at: small.appending("file"), permissions: [.ownerRead])
            }
            #expect(failure?.kind == .system)
            #expect(failure?.description.contains("No space left") == true)
            #expect(try await run(transport, ["/bin/ls", "-A", small.string]).isEmpty)
            try await transport.close()
        }
    }

    @Test func aHalfFileGetsNoName() async throws {
        try await SSHServer.with { server in
            let transport = try server.transport(.nora)
            let pipe = server.folder.appending("pipe")
            let target = server.folder.appending("placed").appending("file")
            // A host that takes no more: its disk is a pipe that nobody reads.
            try await transport.reach()
            let script = try SSHLoginScript.place(at: target, size: 1000, permissions: [.ownerRead])
            let login = SSHLogin()
            let half = try await transport.start([
                "/bin/sh", "-c", "head -c 500 /dev/zero | \(script.commandLine(login).dropFirst(5)); true",
            ])
            var output = Data()
            while let bytes = try await half.read() { output.append(bytes) }
            #expect(!String(decoding: output, as: UTF8.self).contains(SSHLoginScript.placed))
            #expect(half.errorTail.contains("only 500 of 1000 bytes came"))
            #expect(try Folder.names(in: target.removingLastComponent()).isEmpty)
            #expect(access(pipe.string, F_OK) != 0)
            try await transport.close()
        }
    }

    @Test func hostsThatAreNotThere() async throws {
        try await SSHServer.with { server in
            func fail(_ host: String, _ port: Int, _ change: (inout SSHSessionOptions) -> Void = { _ in }) async throws
                -> Failure
            {
                let target = try SSHTarget(host: host, port: port, user: "root")
                let transport = SSHTransport(target, host: "demo-node-0", options: try server.options(change))
                let failure = await #expect(throws: Failure.self) {
                    try await withLimit(.seconds(120), waitingFor: "the failure") { try await transport.reach() }
                }
                try await transport.close()
                #expect(failure?.place == "demo-node-0")
                return try #require(failure)
            }
            let refused = try await fail("127.0.0.1", try freePort())
            #expect(refused.kind == .unreachable)
            #expect(refused.what.contains("nothing listens"))
            let unknown = try await fail("no-such-host.invalid", 22)
            #expect(unknown.kind == .unreachable)
            #expect(unknown.what.contains("name is not known"))
            let noProgram = try await fail("127.0.0.1", 22) { $0.program = "/no/such/ssh" }
            #expect(noProgram.kind == .unavailable)
            #expect(noProgram.what.contains("no OpenSSH client"))
            let badOption = try await fail("127.0.0.1", 22) { $0.extraOptions += ["-o", "NoSuchOption=1"] }
            #expect(badOption.kind == .invalidInput)
            // One that takes the connection and says nothing.
            let silent = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            defer { close(silent) }
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = inet_addr("127.0.0.1")
            var size = socklen_t(MemoryLayout<sockaddr_in>.size)
            let isListening = withUnsafeMutablePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(silent, $0, size) == 0 && listen(silent, 8) == 0 && getsockname(silent, $0, &size) == 0
                }
            }
            try #require(isListening)
            let timeout = try await fail("127.0.0.1", Int(UInt16(bigEndian: address.sin_port))) {
                $0.connectLimit = .seconds(2)
            }
            #expect(timeout.kind == .timeout)
        }
    }

    @Test func ofOneThatIsCancelledAnotherTakesOver() async throws {
        try await SSHServer.with { server in
            let gate = AsyncStream.makeStream(of: Void.self)
            let count = Mutex(0)
            let secrets = SSHSecrets(password: {
                let isFirst = count.withLock { count in
                    count += 1
                    return count == 1
                }
                if isFirst {
                    gate.continuation.yield()
                    try await Task.sleep(for: .seconds(600))
                }
                return server.password
            })
            let transport = try server.transport(.paul, secrets: secrets)
            let first = Task { try await transport.reach() }
            for await _ in gate.stream { break }
            let second = Task { try await transport.reach() }
            let third = Task { try await transport.reach() }
            try await Task.sleep(for: .milliseconds(100))
            third.cancel()
            await #expect(throws: CancellationError.self) { try await third.value }
            first.cancel()
            await #expect(throws: (any Error).self) { try await first.value }
            try await withLimit(.seconds(120), waitingFor: "the second") { try await second.value }
            #expect(count.withLock { $0 } == 2)
            try await transport.close()
        }
    }
}

@Suite(
    .enabled("needs SEALER_TEST_EXECUTABLE (a static sealer) and what the tests with sshd need") {
        SSHServer.isPossible && ProcessInfo.processInfo.environment["SEALER_TEST_EXECUTABLE"] != nil
    }
)
struct SSHAgentTests {
    @Test func anAgentAsRootForAnOrdinaryUser() async throws {
        let executable = FilePath(try #require(ProcessInfo.processInfo.environment["SEALER_TEST_EXECUTABLE"]))
        try await SSHServer.with { server in
            let sum = try await #require(Program("sha256sum")).run([executable.string], in: server.folder)
            let digest = try #require(Digest(algorithm: .sha256, hex: String(sum.prefix(64))))
            let base = server.folder.appending("base")
            for (user, secrets) in [
                (SSHServer.User.nora, SSHSecrets.none), (.paul, .known(password: server.password)),
                (.loud, .known(password: server.password)),
            ] {
                let transport = try server.transport(user, secrets: secrets)
                let host = try await AgentHost.connect(
                    over: transport, executable: executable, executableDigest: digest, base: base,
                    store: base.appending("store"))
                #expect(try await host.facts().agentDigest == digest)
                let result = try await host.run(.script("id -u; readlink /proc/$PPID/exe"), limit: .seconds(120)) { _ in
                }
                #expect(result.outputText == "0\n\(host.executablePath)\n")
                let file = server.folder.appending("files").appending("\(user)")
                let content = Data((0..<900_000).map { UInt8(truncatingIfNeeded: $0 &* 13 >> 1) })
                try await host.writeFile(file, content, permissions: 0o640)
                #expect(try await host.readFile(file, limit: 1 << 20) == content)
                #expect(try readFile(file) == content)
                let sleeping = Task {
                    try await host.run(RemoteCommand(["sleep", "500"]), limit: .seconds(600)) { _ in }
                }
                try await Task.sleep(for: .milliseconds(300))
                try server.killSessions()
                let failure = await #expect(throws: Failure.self) { try await sleeping.value }
                #expect(failure?.kind == .unreachable)
                #expect(failure?.place == "demo-node-0")
                await host.close()
                let again = try await AgentHost.connect(
                    over: transport, executable: executable, executableDigest: digest, base: base,
                    store: base.appending("store"))
                #expect(try await again.facts().agentDigest == digest)
                await again.close()
                try await transport.close()
            }
        }
    }
}
