import FoundationEssentials
import Glibc
import LinuxSystem
import Report
import SystemPackage
import TestSupport
import Testing

@testable import Remote

@Suite(.enabled("needs root, OpenSSH's client and server, sudo, openssl and unshare") { SSHServer.isPossible })
struct SSHHostKeyTests {
    private static func refused(_ transport: SSHTransport) async throws -> Failure {
        let failure = await #expect(throws: Failure.self) { try await transport.reach() }
        try await transport.close()
        return try #require(failure)
    }

    private static func fingerprint(_ server: SSHServer) async throws -> String {
        let tool = try #require(Program("ssh-keygen"))
        let line = try await tool.run(["-lf", server.folder.appending("host-key.pub").string], in: server.folder)
        return try #require(line.split(separator: " ").first { $0.hasPrefix("SHA256:") }.map(String.init))
    }

    private static func text(_ path: FilePath) throws -> String { String(decoding: try readFile(path), as: UTF8.self) }

    @Test func anUnknownOneIsRefusedAndShown() async throws {
        try await SSHServer.with { server in
            let fingerprint = try await Self.fingerprint(server)
            let file = server.folder.appending("cluster").appending("known hosts")
            let options = try server.options { $0.knownHostsFile = file }
            let failure = try await Self.refused(
                try server.transport(.paul, secrets: .known(password: server.password), options: options))
            #expect(failure.kind == .denied)
            #expect(failure.place == "demo-node-0")
            #expect(failure.what.contains("key is not known"))
            #expect(failure.what.contains(fingerprint))
            #expect(failure.remedy?.contains("ssh-keyscan -p \(server.port) 127.0.0.1 >> ") == true)
            #expect(failure.remedy?.contains("--accept-new-host-keys") == true)
            #expect(access(file.string, F_OK) != 0)
            // The host never got as far as a password.
            #expect(try server.logged("paul") == 0)
        }
    }

    @Test func aNewOneIsRecordedInTheClustersFile() async throws {
        try await SSHServer.with { server in
            let file = server.folder.appending("a cluster").appending("known hosts 100%")
            let accepting = try server.options {
                $0.knownHostsFile = file
                $0.acceptsNewHostKeys = true
            }
            let first = try server.transport(.root, options: accepting)
            try await first.reach()
            try await first.close()
            let key = try Self.text(server.folder.appending("host-key.pub")).split(separator: " ")[1]
            #expect(try Self.text(file).contains(key))
            #expect(try readFile(server.userKnownHosts).isEmpty)
            let second = try server.transport(.root, options: try server.options { $0.knownHostsFile = file })
            try await second.reach()
            try await second.close()
        }
    }

    @Test func theUsersOwnFileCounts() async throws {
        try await SSHServer.with { server in
            try AtomicFile.write(readFile(server.knownHosts), to: server.userKnownHosts)
            for file in [nil, server.folder.appending("none")] {
                let transport = try server.transport(.root, options: try server.options { $0.knownHostsFile = file })
                try await transport.reach()
                try await transport.close()
            }
        }
    }

    @Test(arguments: [false, true]) func aChangedOneIsRefused(_ isTheUsers: Bool) async throws {
        try await SSHServer.with { server in
            let fingerprint = try await Self.fingerprint(server)
            let other = server.folder.appending("other-host-key")
            try await SSHServer.makeKey(other)
            let line = "[127.0.0.1]:\(server.port) \(try Self.text(server.folder.appending("other-host-key.pub")))"
            let file = isTheUsers ? server.userKnownHosts : server.knownHosts
            try AtomicFile.write(Array(line.utf8), to: file)
            for accepts in [false, true] {
                let options = try server.options {
                    $0.acceptsNewHostKeys = accepts
                    if isTheUsers { $0.knownHostsFile = server.folder.appending("empty") }
                }
                let failure = try await Self.refused(
                    try server.transport(.paul, secrets: .known(password: server.password), options: options))
                #expect(failure.kind == .denied)
                #expect(failure.what.contains("key has changed"))
                #expect(failure.what.contains(fingerprint))
                #expect(failure.what.contains(file.string))
                #expect(failure.remedy?.contains("ssh-keygen -R") == true)
            }
            #expect(try Self.text(file) == line)
            #expect(try server.logged("paul") == 0)
        }
    }

    @Test func ofAJumpHostToo() async throws {
        try await SSHServer.with { server in
            let fingerprint = try await Self.fingerprint(server)
            try AtomicFile.write(
                Array(
                    "Host inner\nHostName inner.sealer.test\nPort \(server.port)\nProxyJump kim@127.0.0.1:\(server.port)\n"
                        .utf8)
                    + readFile(server.configuration), to: server.configuration)
            let options = try server.options { $0.acceptsNewHostKeys = true }
            let failure = try await Self.refused(try server.transport(.root, host: "inner", options: options))
            #expect(failure.kind == .denied)
            #expect(failure.what.contains("jump host"))
            #expect(failure.description.contains(fingerprint))
        }
    }
}
