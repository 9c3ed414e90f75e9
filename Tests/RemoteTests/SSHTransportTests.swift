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

/// Counts how often a secret is asked for.
private final class Asked: Sendable {
    private let counts = Mutex((login: 0, sudo: 0))
    var login: Int { counts.withLock { $0.login } }
    var sudo: Int { counts.withLock { $0.sudo } }

    func secrets(_ login: String?, sudo: String?) -> SSHSecrets {
        SSHSecrets(
            password: {
                self.counts.withLock { $0.login += 1 }
                return login
            },
            sudoPassword: {
                self.counts.withLock { $0.sudo += 1 }
                return sudo
            })
    }
}

/// Runs a program to its end.
@discardableResult
func run(_ transport: SSHTransport, _ command: [String], input: Data = Data()) async throws -> Data {
    try await withLimit(.seconds(240), waitingFor: "\(command) to end") {
        let channel = try await transport.start(command)
        async let written: Void = {
            try await channel.write(input)
            await channel.closeInput()
        }()
        var output = Data()
        while let bytes = try await channel.read() { output.append(bytes) }
        try await written
        return output
    }
}

private let everyByte = Data((0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) })

@Suite(.enabled("needs root, OpenSSH's client and server, sudo, openssl and unshare") { SSHServer.isPossible })
struct SSHTransportTests {
    private static let identity = ["/bin/sh", "-c", "id -u; pwd; umask; exec cat"]
    private static let rootIdentity = Data("0\n/\n0022\n".utf8)

    /// Expects a failure, and that nothing of the password is in it.
    private static func failure(
        _ transport: SSHTransport,
        _ server: SSHServer,
        _ comment: Comment? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> Failure {
        let failure = await #expect(throws: Failure.self, comment, sourceLocation: sourceLocation) {
            try await run(transport, ["/bin/true"])
        }
        try await transport.close()
        let result = try #require(failure, sourceLocation: sourceLocation)
        #expect(!result.description.contains(server.password), sourceLocation: sourceLocation)
        #expect(result.place == "demo-node-0", sourceLocation: sourceLocation)
        return result
    }

    @Test func rootByKey() async throws {
        try await SSHServer.with { server in
            let transport = try server.transport(.root)
            #expect(try await run(transport, Self.identity, input: everyByte) == Self.rootIdentity + everyByte)
            // A program gets its words as they are.
            let words = ["a b", "", "it's", "$HOME `id` \\n", "line\nend", "*", "-n", "ü"]
            let printed = try await run(transport, ["/usr/bin/printf", "%s|"] + words)
            #expect(String(decoding: printed, as: UTF8.self) == words.map { $0 + "|" }.joined())
            #expect(try server.logged("Accepted publickey for root") == 1)
            try await transport.close()
        }
    }

    @Test func rootByTheUsersAgent() async throws {
        try await SSHServer.with { server in
            let socket = server.folder.appending("agent")
            let agent = try await ChildProcess.start(
                RemoteCommand([try #require(Program("ssh-agent")).path, "-D", "-a", socket.string]))
            for _ in 0..<600 where access(socket.string, F_OK) != 0 { try await Task.sleep(for: .milliseconds(10)) }
            try await server.configure("IdentityAgent \(socket)\n")
            let without = try await Self.failure(try server.transport(.root, hasKey: false), server)
            #expect(without.kind == .denied)
            let tool = try #require(Program("env"))
            try await tool.run(["SSH_AUTH_SOCK=\(socket)", "ssh-add", "-q", server.key.string], in: server.folder)
            let transport = try server.transport(.root, hasKey: false)
            #expect(try await run(transport, Self.identity, input: everyByte) == Self.rootIdentity + everyByte)
            try await transport.close()
            agent.signal(SIGTERM)
        }
    }

    @Test func rootByACertificate() async throws {
        try await SSHServer.with { server in
            let key = server.folder.appending("certified")
            try await SSHServer.makeKey(key)
            try await server.configure("IdentityFile \(key)\n")
            let without = try await Self.failure(try server.transport(.root, hasKey: false), server)
            #expect(without.kind == .denied)
            let tool = try #require(Program("ssh-keygen"))
            try await tool.run(
                ["-q", "-s", server.folder.appending("user-ca").string, "-I", "somebody", "-n", "root", "\(key).pub"],
                in: server.folder)
            let transport = try server.transport(.root, hasKey: false)
            #expect(try await run(transport, Self.identity, input: everyByte) == Self.rootIdentity + everyByte)
            #expect(try server.logged("Accepted publickey for root") == 1)
            #expect(try server.logged("ID somebody") == 1)
            try await transport.close()
        }
    }

    @Test func sudoThatAsksNothingGetsNothing() async throws {
        try await SSHServer.with { server in
            let asked = Asked()
            let transport = try server.transport(.nora, secrets: asked.secrets("wrong", sudo: server.password))
            #expect(try await run(transport, Self.identity, input: everyByte) == Self.rootIdentity + everyByte)
            #expect(asked.login == 0)
            #expect(asked.sudo == 0)
            try await transport.close()
        }
    }

    @Test func passwordForLoginAndSudo() async throws {
        try await SSHServer.with { server in
            let asked = Asked()
            let transport = try server.transport(.paul, secrets: asked.secrets(server.password, sudo: server.password))
            #expect(try await run(transport, Self.identity, input: everyByte) == Self.rootIdentity + everyByte)
            #expect(asked.login == 1)
            #expect(asked.sudo == 1)
            // The connection stays; sudo asks anew.
            #expect(try await run(transport, ["/bin/echo", "again"]) == Data("again\n".utf8))
            #expect(asked.login == 1)
            #expect(asked.sudo == 2)
            try await transport.close()
        }
    }

    @Test func aWrongPasswordIsTriedOnce() async throws {
        try await SSHServer.with { server in
            let asked = Asked()
            let transport = try server.transport(.paul, secrets: asked.secrets("not it", sudo: nil))
            // Many at once share the outcome.
            let failures = await withTaskGroup(of: Failure?.self) { group in
                for _ in 0..<5 {
                    group.addTask {
                        do {
                            _ = try await transport.start(["/bin/true"])
                            return nil
                        } catch {
                            return error as? Failure
                        }
                    }
                }
                return await group.reduce(into: [Failure]()) { if let one = $1 { $0.append(one) } }
            }
            try await transport.close()
            #expect(failures.count == 5)
            #expect(
                failures.allSatisfy { $0.kind == .denied && $0.what.contains("did not accept the password of paul") })
            #expect(asked.login == 1)
            let attempts = try server.log().split(whereSeparator: \.isNewline).count {
                $0.contains("Failed password for paul") || $0.contains("authentication failure; logname= uid=0")
                    || $0.contains("PAM: Authentication failure for paul")
            }
            #expect(attempts <= 1)
        }
    }

    @Test func aPasswordThatNobodyGives() async throws {
        try await SSHServer.with { server in
            let none = try await Self.failure(try server.transport(.paul), server)
            #expect(none.kind == .denied)
            #expect(none.description.contains("password"))
            let asked = Asked()
            let empty = try await Self.failure(
                try server.transport(.paul, secrets: asked.secrets(nil, sudo: nil)), server)
            #expect(empty.kind == .denied)
            #expect(empty.what.contains("wants the password of paul"))
            #expect(try server.logged("Failed password") == 0)
        }
    }

    @Test func aKeyThatTheHostDoesNotTake() async throws {
        try await SSHServer.with { server in
            let other = server.folder.appending("other-key")
            try await SSHServer.makeKey(other)
            let target = try SSHTarget(host: "127.0.0.1", port: server.port, user: "nora", identityFile: other)
            let failure = try await Self.failure(
                SSHTransport(target, host: "demo-node-0", options: try server.options()), server)
            #expect(failure.kind == .denied)
            #expect(failure.what.contains("refused the login of nora"))
            #expect(failure.what.contains("tried: publickey"))
            #expect(failure.what.contains("the host takes: publickey,") || failure.what.contains("publickey, password"))
        }
    }

    @Test func aPassphraseIsGivenOnce() async throws {
        try await SSHServer.with { server in
            let locked = server.folder.appending("locked key")
            try await SSHServer.makeKey(locked, passphrase: server.password)
            try AtomicFile.write(
                readFile(server.folder.appending("locked key.pub")), to: server.folder.appending("keys/nora"))
            let target = try SSHTarget(host: "127.0.0.1", port: server.port, user: "nora", identityFile: locked)
            let right = SSHTransport(
                target, secrets: .known(password: nil, passphrase: server.password), options: try server.options())
            #expect(try await run(right, ["/usr/bin/id", "-u"]) == Data("0\n".utf8))
            try await right.close()
            let count = Mutex(0)
            let secrets = SSHSecrets(passphrase: { key in
                count.withLock { $0 += 1 }
                return key.hasSuffix("locked key") ? "wrong" : nil
            })
            let wrong = try await Self.failure(
                SSHTransport(target, host: "demo-node-0", secrets: secrets, options: try server.options()), server)
            #expect(wrong.kind == .denied)
            #expect(count.withLock { $0 } == 1)
        }
    }

    @Test func sudoSaysNo() async throws {
        try await SSHServer.with { server in
            let right = SSHSecrets.known(password: server.password)
            let wrong = try await Self.failure(
                try server.transport(.paul, secrets: Asked().secrets(server.password, sudo: "not it")), server)
            #expect(wrong.kind == .denied)
            #expect(wrong.what.contains("sudo on the host did not accept the password of paul"))
            let missing = try await Self.failure(try server.transport(.loud), server)
            #expect(missing.kind == .denied)
            #expect(missing.what.contains("sudo on the host wants the password of loud, and none is given"))
            let stranger = try await Self.failure(try server.transport(.kim, secrets: right), server)
            #expect(stranger.kind == .denied)
            #expect(stranger.what.contains("kim may not use sudo"))
            let terminal = try await Self.failure(try server.transport(.tess, secrets: right), server)
            #expect(terminal.kind == .denied)
            #expect(terminal.what.contains("requiretty"))
            let none = try await Self.failure(try server.transport(.nell, secrets: right), server)
            #expect(none.kind == .denied)
            #expect(none.what.contains("there is no sudo"))
            let shell = try await Self.failure(try server.transport(.lock, secrets: right), server)
            #expect(shell.kind == .commandFailed)
            #expect(shell.description.contains("not available"))
        }
    }

    @Test func aLoudLoginBreaksNothing() async throws {
        try await SSHServer.with { server in
            let asked = Asked()
            let transport = try server.transport(.loud, secrets: asked.secrets(nil, sudo: server.password))
            #expect(try await run(transport, Self.identity, input: everyByte) == Self.rootIdentity + everyByte)
            #expect(asked.sudo == 1)
            let file = server.folder.appending("placed")
            try await transport.place(server.key, at: file, permissions: [.ownerRead])
            #expect(try readFile(file) == readFile(server.key))
            try await transport.close()
        }
    }

    @Test func overIPv6() async throws {
        try await SSHServer.with { server in
            guard try server.logged("listening on ::1") == 1 else { return }
            for name in ["::1", "[::1]"] {
                let transport = try server.transport(.root, host: name)
                #expect(try await run(transport, ["/usr/bin/id", "-u"]) == Data("0\n".utf8))
                try await transport.close()
            }
        }
    }

    @Test func overAJumpHostOfTheUsersConfiguration() async throws {
        try await SSHServer.with { server in
            // Only the server's side knows the name: whoever does not jump does not get there.
            try AtomicFile.write(
                Array(
                    """
                    Host inner
                        HostName inner.sealer.test
                        Port \(server.port)
                        ProxyJump jumper
                    Host jumper
                        HostName 127.0.0.1
                        Port \(server.port)
                        User kim
                        IdentityFile \(server.key)
                        UserKnownHostsFile \(server.knownHosts)

                    """.utf8) + readFile(server.configuration),
                to: server.configuration)
            let transport = try server.transport(
                .paul, host: "inner", secrets: .known(password: server.password))
            #expect(try await run(transport, Self.identity, input: everyByte) == Self.rootIdentity + everyByte)
            try await transport.close()
            #expect(try server.logged("Accepted publickey for kim") == 1)

            // A jump host that wants a password does not get that of the target.
            let text = String(decoding: try readFile(server.configuration), as: UTF8.self)
            try AtomicFile.write(
                Array(
                    text.replacing("User kim", with: "User tess").replacing(
                        "IdentityFile \(server.key)", with: "IdentityFile none"
                    ).utf8), to: server.configuration)
            let failure = try await Self.failure(
                try server.transport(.paul, host: "inner", secrets: .known(password: server.password)), server)
            #expect(failure.kind == .denied)
            #expect(failure.what.contains("jump host"))
            #expect(try server.logged("Failed password for tess") == 0)
            #expect(try server.logged("Authentication failure for tess") == 0)
        }
    }
}
