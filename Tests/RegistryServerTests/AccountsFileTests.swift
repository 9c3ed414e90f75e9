import FoundationEssentials
import Glibc
import ImageStore
import LinuxSystem
import OCI
import Report
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import RegistryServer

/// The file of accounts changes while the registry runs.
@Suite struct AccountsFileTests {
    private static let dave = ["Authorization": "Basic \(Data("dave:pull-only".utf8).base64EncodedString())"]

    private final class Reports: Sendable {
        private let all = Mutex<[Failure]>([])
        var failures: [Failure] { all.withLock { $0 } }
        func add(_ failure: Failure) { all.withLock { $0.append(failure) } }
    }

    /// Serves an empty store to alice and carol, who sees little, while `body` runs.
    private func serving(
        rereadAfter: Duration = .zero, _ body: (FilePath, Reports, RunningRegistry) async throws -> Void
    ) async throws {
        let scratch = try Scratch()
        let file = scratch.path.appending("htpasswd")
        try write(
            "alice:\(PasswordTests.secretHash)\ncarol:\(PasswordTests.thirdHash)\n", to: file)
        var configuration = RegistryServerConfiguration()
        configuration.access.htpasswd = file
        configuration.access.confined = ["carol": ["docker.io/carol"]]
        configuration.access.rereadAfter = rereadAfter
        let reports = Reports()
        let store = try await ImageStore.open(scratch.path.appending("store"))
        let server = try await RegistryServer.start(
            configuration, content: StoreContent(store: store), report: { reports.add($0) })
        do {
            try await body(file, reports, server)
        } catch {
            await server.stop(limit: .seconds(1))
            throw error
        }
        await server.stop(limit: .seconds(10))
    }

    private func write(_ text: String, to file: FilePath) throws { try AtomicFile.write(Array(text.utf8), to: file) }

    private func status(_ server: RunningRegistry, _ account: [String: String]) async throws -> Int {
        try await RawClient(port: server.port).get("/v2/", account).status
    }

    private func isStale(_ server: RunningRegistry) async throws -> Bool? {
        let reply = try await RawClient(port: server.port).get("/metrics", Pusher.alice)
        let lines = String(decoding: reply.body, as: UTF8.self).split(separator: "\n")
        return lines.first { $0.hasPrefix("sealer_registry_accounts_stale ") }.map { $0.hasSuffix(" 1") }
    }

    @Test func accountsComeAndGo() async throws {
        try await serving { file, reports, server in
            #expect(try await status(server, Pusher.alice) == 200)
            #expect(try await status(server, Pusher.carol) == 200)
            #expect(try await status(server, Self.dave) == 401)
            #expect(try await isStale(server) == false)
            try write("alice:\(PasswordTests.secretHash)\ndave:\(PasswordTests.pullHash)\n", to: file)
            #expect(try await status(server, Self.dave) == 200)
            // A password that was remembered is forgotten with its account.
            #expect(try await status(server, Pusher.carol) == 401)
            #expect(try await status(server, Pusher.alice) == 200)
            // Another password.
            try write("alice:\(PasswordTests.pullHash)\n", to: file)
            #expect(try await status(server, Pusher.alice) == 401)
            let alice = ["Authorization": "Basic \(Data("alice:pull-only".utf8).base64EncodedString())"]
            #expect(try await status(server, alice) == 200)
            #expect(try await status(server, Self.dave) == 401)
            // In place, as editors may do it.
            let descriptor = try FileDescriptor.open(file, .writeOnly, options: [.truncate])
            try descriptor.closeAfter {
                _ = try descriptor.writeAll("alice:\(PasswordTests.secretHash)\n".utf8)
            }
            #expect(try await status(server, Pusher.alice) == 200)
            #expect(reports.failures.isEmpty)
        }
    }

    /// Rights stay with names: one that comes back is as confined as before.
    @Test func aConfinedAccountThatComesBackIsConfined() async throws {
        try await serving { file, _, server in
            try write("alice:\(PasswordTests.secretHash)\n", to: file)
            #expect(try await status(server, Pusher.carol) == 401)
            try write("carol:\(PasswordTests.thirdHash)\n", to: file)
            #expect(try await status(server, Pusher.carol) == 200)
            let tags = try await RawClient(port: server.port).get("/v2/private/app/tags/list", Pusher.carol)
            #expect(tags.status == 404)
        }
    }

    @Test(arguments: ["alice", "alice:secret", "alice:\(PasswordTests.secretHash)\ncarol:{SHA}x\n", "nothing"])
    func aBrokenFileChangesNothing(_ text: String) async throws {
        try await serving { file, reports, server in
            if text == "nothing" { try Folder.delete(file) } else { try write(text, to: file) }
            for _ in 0..<3 {
                #expect(try await status(server, Pusher.alice) == 200)
                #expect(try await status(server, Pusher.carol) == 200)
            }
            #expect(try await isStale(server) == true)
            // Said once, with the file's name, without a hash.
            #expect(reports.failures.count == 1)
            let report = try #require(reports.failures.first?.description)
            #expect(report.contains(file.string) && report.contains("stay in force"))
            #expect(!report.contains("2r9OfJnfCsdneAX"))
            // Another broken one is said again.
            try write("other", to: file)
            #expect(try await status(server, Pusher.alice) == 200)
            #expect(reports.failures.count == 2)
            try write("dave:\(PasswordTests.pullHash)\nalice:\(PasswordTests.secretHash)\n", to: file)
            #expect(try await status(server, Self.dave) == 200)
            #expect(try await status(server, Pusher.carol) == 401)
            #expect(try await isStale(server) == false)
            #expect(reports.failures.count == 2)
        }
    }

    @Test func itIsNotLookedAtAllTheTime() async throws {
        try await serving(rereadAfter: .seconds(3600)) { file, _, server in
            try write("dave:\(PasswordTests.pullHash)\n", to: file)
            #expect(try await status(server, Pusher.alice) == 200)
            #expect(try await status(server, Self.dave) == 401)
        }
    }

    /// Whatever the moment, a request sees one whole file or the other.
    @Test func manyRequestsWhileItChanges() async throws {
        try await serving { file, reports, server in
            let texts = [
                "alice:\(PasswordTests.secretHash)\n",
                "alice:\(PasswordTests.secretHash)\ndave:\(PasswordTests.pullHash)\n",
            ]
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        let client = try RawClient(port: server.port)
                        for _ in 0..<50 { #expect(try await client.get("/v2/", Pusher.alice).status == 200) }
                    }
                }
                for round in 0..<100 { try write(texts[round % 2], to: file) }
                try await group.waitForAll()
            }
            #expect(reports.failures.isEmpty)
            #expect(try await status(server, Self.dave) == 200)
        }
    }

    /// What was written a moment ago may be half of it.
    @Test func aYoungFileIsLeftAlone() throws {
        let scratch = try Scratch()
        let file = scratch.path.appending("x")
        try write("x", to: file)
        let times = [timespec(tv_sec: 1000, tv_nsec: 500), timespec(tv_sec: 1000, tv_nsec: 500)]
        #expect(utimensat(AT_FDCWD, file.string, times, 0) == 0)
        let stamp = try AccountsFile.Stamp(file)
        let written: Int64 = 1_000_000_000_500
        for (age, isYoung) in [(0, true), (999_999_999, true), (1_000_000_000, false), (-1, false)] as [(Int64, Bool)] {
            #expect(stamp.isYoung(at: written + age, than: .seconds(1)) == isYoung, "\(age)")
            #expect(!stamp.isYoung(at: written + age, than: .zero))
        }
    }

    /// Not only the rule, but what comes of it: the accounts of before stay in force until the file has settled.
    @Test func aYoungChangeWaits() async throws {
        let scratch = try Scratch()
        let file = scratch.path.appending("htpasswd")
        try write("alice:\(PasswordTests.secretHash)\n", to: file)
        var rules = AccessRules()
        rules.rereadAfter = .zero
        let accounts = try await AccountsFile(file, rules, settledAfter: .seconds(3600)) { _ in }
        try write("bob:\(PasswordTests.pullHash)\n", to: file)
        await accounts.refresh()
        #expect(try await !accounts.passwords.isRight("pull-only", of: "bob"))
        #expect(try await accounts.passwords.isRight("secret", of: "alice"))
        let longAgo = timespec(tv_sec: time(nil) - 7200, tv_nsec: 0)
        #expect(utimensat(AT_FDCWD, file.string, [longAgo, longAgo], 0) == 0)
        await accounts.refresh()
        #expect(try await accounts.passwords.isRight("pull-only", of: "bob"))
        #expect(try await !accounts.passwords.isRight("secret", of: "alice"))
    }

    @Test func otherAccountsAreForgottenOneByOne() async throws {
        let check = PasswordCheck(
            try PasswordFile(text: "alice:\(PasswordTests.secretHash)\nbob:\(PasswordTests.pullHash)", at: "x"),
            rememberedFor: .seconds(3600), concurrentChecks: 1)
        #expect(try await check.isRight("secret", of: "alice"))
        #expect(try await check.isRight("pull-only", of: "bob"))
        check.replace(
            try PasswordFile(text: "alice:\(PasswordTests.secretHash)\nbob:\(PasswordTests.thirdHash)", at: "x"))
        #expect(check.rememberedCount == 1)
        #expect(try await check.isRight("secret", of: "alice"))
        #expect(try await !check.isRight("pull-only", of: "bob"))
        #expect(try await check.isRight("third", of: "bob"))
        check.replace(try PasswordFile(text: "", at: "x"))
        #expect(try await !check.isRight("secret", of: "alice"))
        #expect(check.rememberedCount == 0)
    }
}
