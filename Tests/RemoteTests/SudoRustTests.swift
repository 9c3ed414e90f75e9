import FoundationEssentials
import LinuxSystem
import Report
import SystemPackage
import TestSupport
import Testing

@testable import Remote

/// sudo-rs, which is Ubuntu's sudo from 25.10 on: other words, and a frame around the prompt that it is given.
@Suite struct SudoRustTests {
    private static let password = Data("\naaaabbbb password\n".utf8)

    /// How often a login asks for the password that says this on standard error, in pieces of a size.
    private static func questions(_ error: String, pieces size: Int, after output: Data = password) throws -> Int {
        var login = SSHLogin(halves: ("aaaa", "bbbb"))
        _ = try login.takeOutput(output)
        var count = 0
        var rest = Data(error.utf8)[...]
        while !rest.isEmpty {
            login.takeError(Data(rest.prefix(size)))
            rest = rest.dropFirst(size)
            if login.takeQuestion() != nil { count += 1 }
        }
        return count
    }

    @Test(arguments: ["[sudo: bbbbaaaa] Password: ", "[sudo: bbbbaaaa] Password:"])
    func thePromptIsKnown(_ prompt: String) throws {
        let trace = "+ exec sudo -S -k -H -p bbbbaaaa -- /bin/sh -c x\n"
        for size in 1...60 {
            #expect(try Self.questions("noise\n\n\(prompt)", pieces: size) == 1)
            #expect(try Self.questions("\(trace)\n\(prompt)", pieces: size) == 1)
            // Somebody else's prompt, while sudo asks nothing.
            #expect(try Self.questions("\n\(prompt)", pieces: size, after: Data("hello\n".utf8)) == 0)
        }
    }

    /// Prompts of others, and what PAM asks for besides a password.
    @Test(arguments: [
        "[sudo: authenticate] Password: ", "[sudo: bbbbaaaa] Verification code: ", "x [sudo: bbbbaaaa] Password: ",
        "[sudo: bbbbaaaa] Passwords: ", "[sudo: bbbbaaaa]", "[sudo: aaaabbbb] Password: ", "Password: ",
        "[sudo: input needed] bbbbaaaa ", "[su: bbbbaaaa] Password: ", "[sudo: bbbbaaaa]  Password: ",
    ])
    func otherPromptsGetNothing(_ text: String) throws {
        for size in 1...60 { #expect(try Self.questions("\n\(text)", pieces: size) == 0) }
    }

    @Test func aWrongPasswordIsAskedForAgain() throws {
        var login = SSHLogin(halves: ("aaaa", "bbbb"))
        _ = try login.takeOutput(Self.password)
        login.takeError(Data("\n[sudo: bbbbaaaa] Password: ".utf8))
        #expect(login.takeQuestion() == .password)
        // Nothing ends the line that the password would have stood on.
        login.takeError(Data("sudo: Authentication failed, try again.\n[sudo: bbbbaaaa] Password: ".utf8))
        #expect(login.takeQuestion() == .again)
    }

    @Test func whatIsSealersOwnIsNotShown() {
        let login = SSHLogin(halves: ("aaaa", "bbbb"))
        let said = "[sudo: bbbbaaaa] Password: sudo: Authentication failed, try again.\n[sudo: bbbbaaaa] Password: "
        #expect(login.withoutMarks(said) == "sudo: Authentication failed, try again.")
        #expect(login.withoutMarks("bbbbaaaa\nbbbbaaaaSorry\n") == "Sorry")
    }

    @Test(arguments: [
        ("sudo: I'm sorry joe. I'm afraid I can't do that", "joe may not use sudo"),
        ("sudo: Authentication failed, try again.", "did not accept the password of joe"),
        ("sudo: Maximum 3 incorrect authentication attempts", "did not accept the password of joe"),
        ("sudo: invalid configuration: x", "sudo did not make joe root"),
    ])
    func itsWordsAreUnderstood(_ text: String, _ what: String) throws {
        var login = SSHLogin(halves: ("aaaa", "bbbb"))
        _ = try login.takeOutput(Self.password)
        let place = SSHPlace(
            name: "node-0", configuration: SSHConfiguration("user joe\nhostname 10.0.0.1\nport 22\n"),
            options: SSHSessionOptions())
        let failure = try #require(login.failure(place, text))
        #expect(failure.what.contains(what))
        #expect(failure.kind == .denied)
    }

    /// The script as a shell runs it, with a sudo that says what each of the two kinds says.
    @Test(arguments: [
        ("sudo: a password is required", "password"), ("sudo: interactive authentication is required", "password"),
        ("kim is not in the sudoers file.", "refused"), ("sudo: I'm sorry kim. I'm afraid I can't do that", "refused"),
    ])
    func whetherSudoWantsAPasswordIsTold(_ message: String, _ word: String) async throws {
        let scratch = try Scratch()
        for (name, text) in [
            ("sudo", "case $1 in -n) echo \(shellQuoted(message)) >&2; exit 1;; *) exit 0;; esac"), ("id", "echo 1000"),
        ] {
            try AtomicFile.write(
                Array("#!/bin/sh\n\(text)\n".utf8), to: scratch.path.appending(name),
                permissions: FilePermissions(rawValue: 0o755))
        }
        let line = try SSHLoginScript.start(["/bin/true"]).commandLine(SSHLogin(halves: ("aaaa", "bbbb")))
        let output = try await Program(path: "/bin/sh").run(
            ["-c", "(\(line)); true"], environment: ["PATH": "\(scratch.path):/usr/bin:/bin"], in: scratch.path)
        #expect(output.contains("aaaabbbb \(word)\n"))
    }
}
