import FoundationEssentials
import Report
import SystemPackage
import TestSupport
import Testing

@testable import Remote

/// Random bytes out of pieces that mean something.
private func text(of pieces: [String], count: Int, _ random: inout SeededGenerator) -> Data {
    var bytes = Data()
    for _ in 0..<count {
        if Int.random(in: 0..<4, using: &random) == 0 {
            bytes.append(UInt8.random(in: 0...255, using: &random))
        } else {
            bytes.append(contentsOf: (pieces.randomElement(using: &random) ?? "").utf8)
        }
    }
    return bytes
}

/// Bytes in pieces of any size.
private func chunks(_ bytes: Data, _ random: inout SeededGenerator) -> [Data] {
    var result: [Data] = []
    var rest = bytes[...]
    while !rest.isEmpty {
        let count = Int.random(in: 1...max(1, min(rest.count, 40)), using: &random)
        result.append(Data(rest.prefix(count)))
        rest = rest.dropFirst(count)
    }
    return result
}

@Suite struct SSHTargetTests {
    @Test(arguments: ["host", "10.0.0.1", "::1", "[fe80::1%eth0]", "node_1.example.org", "a-b"])
    func takesHosts(_ host: String) throws {
        let target = try SSHTarget(host: host, port: 22022, user: "EXAMPLE\\jo.e-1@x", identityFile: "/root/.ssh/id")
        #expect(!target.host.contains("["))
    }

    @Test(arguments: [
        "", "-oProxyCommand=x", "a b", "a;b", "$(id)", "a@b", "ssh://a", "a/b", "[]", "a%b", "ho\nst", "ü", "a'b",
    ])
    func refusesOthers(_ host: String) {
        #expect(throws: Failure.self) { _ = try SSHTarget(host: host) }
    }

    @Test(arguments: ["", "-l", "a b", "a;b", "`id`", "a\n", "a\\", "$USER", "a'b", "%r"])
    func refusesUsers(_ user: String) {
        #expect(throws: Failure.self) { _ = try SSHTarget(host: "a", user: user) }
    }

    @Test func refusesPorts() {
        for port in [0, -1, 65536] { #expect(throws: Failure.self) { _ = try SSHTarget(host: "a", port: port) } }
    }
}

@Suite struct SSHArgumentsTests {
    @Test func whatComesLastIsTheHost() throws {
        var options = SSHSessionOptions()
        options.knownHostsFile = "/a b/100%"
        options.extraOptions = ["-o", "StrictHostKeyChecking=no"]
        let target = try SSHTarget(host: "host", port: 23, user: "joe", identityFile: "/key%d")
        let arguments = SSHArguments(target: target, options: options)
        let master = arguments.master(socket: "/s/c1", knownHosts: ["/root/.ssh/known_hosts"], canAnswer: true)
        #expect(master.suffix(8) == ["-p", "23", "-l", "joe", "-i", "/key%%d", "--", "host"])
        #expect(master.contains("UserKnownHostsFile=\"/a b/100%%\" \"/root/.ssh/known_hosts\""))
        // ssh keeps what it hears first.
        let strict = try #require(master.firstIndex(of: "StrictHostKeyChecking=yes"))
        let lax = try #require(master.firstIndex(of: "StrictHostKeyChecking=no"))
        #expect(strict < lax)
        #expect(!master.contains("-F"))
        #expect(arguments.session(socket: "/s/c1", commandLine: "id").suffix(3) == ["--", "host", "id"])
    }

    @Test func refusesPathsThatSSHCannotTake() throws {
        var options = SSHSessionOptions()
        options.socketFolder = FilePath("/" + String(repeating: "x", count: 60))
        let target = try SSHTarget(host: "host")
        #expect(throws: Failure.self) { try SSHArguments(target: target, options: options).check() }
        options.socketFolder = "/tmp"
        options.knownHostsFile = "/a\"b"
        #expect(throws: Failure.self) { try SSHArguments(target: target, options: options).check() }
    }

    @Test func readsWhatSSHMakesOfItsConfiguration() {
        let configuration = SSHConfiguration(
            "host a\nuser joe\nhostname 10.0.0.1\nport 23\nuserknownhostsfile /a /b\nproxyjump gate\nproxycommand none\n"
        )
        #expect(configuration.user == "joe")
        #expect(configuration.knownHostsName == "[10.0.0.1]:23")
        #expect(configuration.knownHosts == ["/a", "/b"])
        #expect(configuration.usesProxy)
        #expect(!SSHConfiguration("proxycommand none\n").usesProxy)
        var random = SeededGenerator(seed: 21)
        for _ in 0..<2000 {
            let bytes = text(
                of: ["user ", "port ", "\n", " ", "99999999999999999999", "none", "\r"], count: 20, &random)
            _ = SSHConfiguration(String(decoding: bytes, as: UTF8.self)).knownHostsName
        }
    }
}

@Suite struct SSHQuestionTests {
    private static let configuration = SSHConfiguration("user joe\nhostname Node.Example\n")
    private static let behindProxy = SSHConfiguration("user joe\nhostname node.example\nproxyjump gate\n")

    @Test(arguments: [
        "joe@node.example's password: ", "(joe@node.example) Password: ",
        "(joe@node.example) Password for joe@node.example:",
        "Password: ",
    ])
    func passwords(_ text: String) {
        #expect(SSHQuestion(text, Self.configuration) == .password)
    }

    @Test(arguments: [
        "joe@gate's password: ", "root@node.example's password: ", "(joe@gate) Password: ",
        "(joe@node.examples) Password: ",
        "Password: ", "joe@node.example.evil's password: ",
    ])
    func thePasswordIsForTheTargetOnly(_ text: String) {
        guard case .elsewhere = SSHQuestion(text, Self.behindProxy) else {
            Issue.record("\(text) was taken for \(SSHQuestion(text, Self.behindProxy))")
            return
        }
    }

    @Test(arguments: [
        "(joe@node.example) Verification code: ", "(joe@node.example) New password: ",
        "(joe@node.example) Retype new password:",
        "(joe@node.example) Enter passphrase for key '/root/.ssh/id_rsa': ", "(joe@node.example) Current password: ",
    ])
    func challenges(_ text: String) {
        guard case .challenge = SSHQuestion(text, Self.configuration) else {
            Issue.record("\(text) was taken for \(SSHQuestion(text, Self.configuration))")
            return
        }
        #expect(!SSHQuestion(text, Self.configuration).mayGoUnanswered)
    }

    @Test func others() {
        #expect(
            SSHQuestion("Enter passphrase for key '/a b/id': ", Self.configuration) == .passphrase(key: "/a b/id"))
        let key = SSHQuestion(
            "The authenticity of host 'x' can't be established.\nAre you sure you want to continue connecting (yes/no)? ",
            Self.configuration)
        guard case .hostKey = key else {
            Issue.record("\(key)")
            return
        }
        #expect(SSHQuestion("Enter PIN for key: ", Self.configuration) == .other("Enter PIN for key:"))
    }

    @Test func eachSecretIsGivenOnce() async {
        let answers = SSHAnswers(.known(password: "p", passphrase: "f"), Self.configuration)
        let stops = Counter()
        let stop: @Sendable () -> Void = { stops.add() }
        #expect(await answers.answer("joe@node.example's password: ", stop: stop) == "p")
        #expect(await answers.answer("Enter passphrase for key '/a': ", stop: stop) == "f")
        #expect(await answers.answer("Enter passphrase for key '/a': ", stop: stop) == nil)
        #expect(await answers.answer("Enter passphrase for key '/b': ", stop: stop) == "f")
        #expect(stops.value == 0)
        #expect(await answers.answer("(joe@node.example) Password: ", stop: stop) == nil)
        #expect(stops.value == 1)
        #expect(await answers.answer("joe@gate's password: ", stop: stop) == nil)
        #expect(stops.value == 2)
        #expect(answers.refusals.map(\.isRepetition) == [true, true, false])
    }

    @Test func noQuestionOfAnybodyElseGetsAPassword() async {
        var random = SeededGenerator(seed: 22)
        let pieces = [
            "joe", "@", "gate", "'s password:", "Password:", "(", ")", " ", "node.example", "\n", "passphrase", "key '",
        ]
        for _ in 0..<3000 {
            let question = String(decoding: text(of: pieces, count: 8, &random), as: UTF8.self)
            let isForTarget = question.lowercased().contains("joe@node.example")
            let answer = await SSHAnswers(.known(password: "p"), Self.behindProxy).answer(question) {}
            #expect(answer == nil || isForTarget, "\(question)")
        }
    }
}

@Suite struct SSHLoginTests {
    private static func login() -> SSHLogin { SSHLogin(halves: ("aaaa", "bbbb")) }

    /// What a login says, in pieces of any size and any order of the two streams.
    private static func play(
        _ output: Data, _ error: Data, _ random: inout SeededGenerator
    ) throws -> (rest: Data?, questions: Int, words: [SSHLogin.Word]) {
        var login = login()
        var outputs = chunks(output, &random)[...]
        var errors = chunks(error, &random)[...]
        var rest: Data?
        var questions = 0
        while !outputs.isEmpty || !errors.isEmpty {
            if errors.isEmpty || (!outputs.isEmpty && Bool.random(using: &random)) {
                let piece = outputs.removeFirst()
                if rest != nil { rest?.append(piece) } else { rest = try login.takeOutput(piece) }
            } else {
                login.takeError(errors.removeFirst())
            }
            if rest == nil, login.takeQuestion() != nil { questions += 1 }
        }
        return (rest, questions, login.words)
    }

    @Test func findsTheProgramsFirstByte() throws {
        var random = SeededGenerator(seed: 23)
        let frames = Data((0..<500).map { UInt8(truncatingIfNeeded: $0) }) + Data("\naaaabbbb ready\n".utf8)
        for _ in 0..<500 {
            let noise = text(
                of: ["Welcome\n", "aaaa", "bbbb", " ready\n", "\n", "aaaabbbb", "aaaabbbb what\n"], count: 10, &random)
            guard noise.firstRange(of: Data("aaaabbbb ".utf8)) == nil || noise.suffix(1) == Data("\n".utf8),
                noise.firstRange(of: Data("aaaabbbb ready".utf8)) == nil
            else { continue }
            let output = noise + Data("\naaaabbbb password\n\naaaabbbb ready\n".utf8) + frames
            let result = try Self.play(output, Data(), &random)
            #expect(result.rest == frames)
            #expect(result.words == [.password])
            #expect(result.questions == 0)
        }
    }

    @Test func asksForThePasswordOnlyWhenSudoWaitsForIt() throws {
        var random = SeededGenerator(seed: 24)
        let password = Data("\naaaabbbb password\n".utf8)
        let trace = Data("+ exec sudo -p bbbbaaaa -- /bin/sh\n+ bbbbaaaa x\n".utf8)
        let prompt = Data("noise\n\nbbbbaaaa".utf8)
        for _ in 0..<300 {
            #expect(try Self.play(password, prompt, &random).questions == 1)
            #expect(try Self.play(password, trace, &random).questions == 0)
            #expect(try Self.play(password, trace + prompt, &random).questions == 1)
            // Somebody else's prompt, while sudo asks nothing.
            #expect(try Self.play(Data("hello\n".utf8), prompt, &random).questions == 0)
            #expect(try Self.play(Data("hello\n\naaaabbbb ready\n".utf8), prompt, &random).questions == 0)
        }
        var login = Self.login()
        _ = try login.takeOutput(password)
        login.takeError(prompt)
        #expect(login.takeQuestion() == .password)
        #expect(login.takeQuestion() == nil)
        login.takeError(Data("Sorry, try again.\nbbbb".utf8))
        #expect(login.takeQuestion() == nil)
        login.takeError(Data("aaaa".utf8))
        #expect(login.takeQuestion() == .again)
    }

    @Test func garbageStartsNothing() throws {
        var random = SeededGenerator(seed: 25)
        for _ in 0..<1000 {
            let pieces = ["aaaa", "bbbb", " ", "ready", "\n", "aaaabbbb ", "ready \n"]
            let output = text(of: pieces, count: 30, &random)
            guard output.firstRange(of: Data("aaaabbbb ready\n".utf8)) == nil else { continue }
            #expect(try Self.play(output, output, &random).rest == nil)
        }
        var login = Self.login()
        #expect(throws: Failure.self) {
            for _ in 0..<100 { _ = try login.takeOutput(Data(count: 100_000)) }
        }
        login = Self.login()
        _ = try login.takeOutput(Data("aaaabbbb ".utf8))
        #expect(throws: Failure.self) {
            for _ in 0..<100 { _ = try login.takeOutput(Data(count: 100_000)) }
        }
    }

    @Test func nothingOfItsOwnStandsInTheCommandLine() throws {
        let login = SSHLogin()
        for script in [
            try SSHLoginScript.start(["/bin/sh", "a b", "it's"]),
            try SSHLoginScript.place(at: "/a b/c", size: 5, permissions: [.ownerRead]),
        ] {
            let line = script.commandLine(login)
            #expect(!line.contains("\(login.halves.first)\(login.halves.second)"))
            #expect(!line.contains("\(login.halves.second)\(login.halves.first)"))
            // For shells other than POSIX ones.
            #expect(!line.contains("\n") && !line.contains("\\") && !line.contains("!"))
        }
        #expect(SSHLogin().halves != SSHLogin().halves)
        #expect(throws: Failure.self) { _ = try SSHLoginScript.start(["true"]) }
        #expect(throws: Failure.self) { _ = try SSHLoginScript.start([]) }
        #expect(throws: Failure.self) { _ = try SSHLoginScript.start(["/bin/echo", "a\0b"]) }
        #expect(throws: Failure.self) {
            _ = try SSHLoginScript.start(["/bin/echo", String(repeating: "a", count: 100_000)])
        }
        #expect(throws: Failure.self) { _ = try SSHLoginScript.place(at: "a", size: 1, permissions: []) }
    }
}

@Suite struct SSHLogTests {
    private static func place(_ more: String = "") -> SSHPlace {
        SSHPlace(
            name: "node-0", configuration: SSHConfiguration("user joe\nhostname 10.0.0.1\nport 22\n" + more),
            options: SSHSessionOptions())
    }

    private static func failure(_ text: String, _ more: String = "") -> Failure {
        var log = SSHLog()
        log.append(Data(text.utf8))
        log.finish()
        let place = place(more)
        return log.failure(place, SSHAnswers(.none, place.configuration))
    }

    @Test(arguments: [
        ("ssh: connect to host a port 22: No route to host\r\n", Failure.Kind.unreachable, "no route"),
        ("ssh: connect to host a port 22: Connection timed out\r\n", .timeout, "in time"),
        (
            "Connection timed out during banner exchange\r\nConnection to 10.0.0.1 port 22 timed out\r\n", .timeout,
            "in time"
        ),
        (
            "kex_exchange_identification: Connection closed by remote host\nConnection closed by 10.0.0.1 port 22",
            .unreachable, "ended"
        ),
        (
            "Unable to negotiate with a port 22: no matching host key type found. Their offer: ssh-rsa\n", .unreachable,
            "in common"
        ),
        ("Received disconnect from a port 22:2: Too many authentication failures\n", .denied, "too many keys"),
        ("/root/.ssh/config: line 3: Bad configuration option: x\n", .invalidInput, "configuration"),
        ("Bad owner or permissions on /root/.ssh/config\n", .invalidInput, "configuration"),
        ("@    WARNING: REVOKED HOST KEY DETECTED!               @\n", .denied, "revoked"),
        ("something new\n", .unreachable, "no connection"), ("", .unreachable, "no connection"),
    ])
    func whatSSHSays(_ text: String, _ kind: Failure.Kind, _ what: String) {
        let failure = Self.failure(text)
        #expect(failure.kind == kind)
        #expect(failure.what.contains(what))
        #expect(failure.place == "node-0")
        #expect(failure.remedy?.isEmpty == false)
    }

    @Test func aJumpHostsRefusalIsTold() {
        let text = "root@gate: Permission denied (publickey).\r\nConnection closed by UNKNOWN port 65535\r\n"
        #expect(Self.failure(text, "proxyjump root@gate\n").what.contains("jump host"))
        #expect(
            Self.failure("joe@10.0.0.1: Permission denied (publickey).\n").what.contains("refused the login of joe"))
    }

    @Test func aFingerprintThatMayBeAJumpHostsIsNotShown() {
        let one = "debug1: Server host key: ssh-ed25519 SHA256:one\n"
        let end =
            "No ED25519 host key is known for a and you have requested strict checking.\nHost key verification failed.\n"
        #expect(Self.failure(one + end).what.contains("SHA256:one"))
        #expect(!Self.failure(one + "debug1: Server host key: ssh-ed25519 SHA256:two\n" + end).what.contains("SHA256"))
    }

    @Test func keepsAFewShortLinesOfAnything() {
        var random = SeededGenerator(seed: 26)
        let pieces = [
            "debug1: ", "Server host key: ", "Authentications that can continue: ", "\r\n", "\n", "Permission denied (",
            "\u{1b}[2J",
            "Next authentication method: ", "Offending ", " key in /", ": Permission denied",
            "REMOTE HOST IDENTIFICATION HAS CHANGED",
        ]
        for _ in 0..<1000 {
            let bytes = text(of: pieces, count: 60, &random)
            var whole = SSHLog()
            whole.append(bytes)
            whole.finish()
            var cut = SSHLog()
            for piece in chunks(bytes, &random) { cut.append(piece) }
            cut.finish()
            #expect(whole.said == cut.said)
            #expect(whole.fingerprints == cut.fingerprints)
            #expect(whole.said.allSatisfy { !$0.unicodeScalars.contains { $0.value < 0x20 } })
            _ = whole.failure(Self.place(), SSHAnswers(.none, Self.place().configuration)).description
        }
        var log = SSHLog()
        for _ in 0..<1000 { log.append(Data(String(repeating: "x", count: 10_000).utf8 + [0x0a])) }
        #expect(log.said.count == SSHLog.keptLines)
        #expect(log.said.allSatisfy { $0.utf8.count <= SSHLog.lineLimit })
    }
}
