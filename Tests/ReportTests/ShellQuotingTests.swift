import FoundationEssentials
import SystemPackage
import TestSupport
import Testing

@testable import Report

@Suite struct ShellQuotingTests {
    /// What a shell makes of a command line that prints its words.
    private static func words(_ shell: String, _ line: String, _ folder: FilePath) async throws -> [String] {
        let program = try #require(Program(shell))
        let output = try await program.run(["-c", "printf '%s\\001' " + line], in: folder)
        return output.split(separator: "\u{1}", omittingEmptySubsequences: false).dropLast().map(String.init)
    }

    @Test(arguments: ["sh", "bash", "dash"]) func aShellReadsBackTheSameWords(_ shell: String) async throws {
        guard Program(shell) != nil else { return }
        let scratch = try Scratch()
        var random = SeededGenerator(seed: 20)
        var words = [
            "", " ", "'", "''", "'\u{301}", "a'b", "$HOME", "`id`", "$(id)", "~", "~root", "a=b", "!!", "\\", "\\n",
            "\n", "\r\n", "*", "?",
            "[a]", "{a,b}", "#", "-", "--", "&", ";", "|", "<", ">", "\"", "ü", "é'", "\u{feff}",
            "plain-word_1.2/3:@%+,",
        ]
        let pieces: [Unicode.Scalar] = [
            "'", "\"", "\\", "$", "`", " ", "\n", "\r", "a", "!", "*", "~", "\u{301}", "ü", "=", ";", "\u{1f600}", "\t",
        ]
        for _ in 0..<400 {
            var word = ""
            for _ in 0..<Int.random(in: 0...12, using: &random) {
                word.unicodeScalars.append(pieces.randomElement(using: &random) ?? "a")
            }
            words.append(word)
        }
        let back = try await Self.words(shell, shellQuoted(words), scratch.path)
        #expect(back.map { Array($0.utf8) } == words.map { Array($0.utf8) })
        // Twice, as for a shell that is told by a shell.
        let twice = try await Self.words(
            "sh", "x; \(shell) -c " + shellQuoted("printf '%s\\001' " + shellQuoted(words)), scratch.path)
        #expect(twice.map { Array($0.utf8) } == (["x"] + words).map { Array($0.utf8) })
    }

    @Test func leavesPlainWordsAlone() {
        #expect(shellQuoted("/var/lib/sealer/bin/0123/sealer") == "/var/lib/sealer/bin/0123/sealer")
        #expect(shellQuoted(["a", "it's", ""]) == "a 'it'\"'\"'s' ''")
    }
}
