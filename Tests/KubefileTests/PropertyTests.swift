import Kubefile
import Report
import TestSupport
import Testing

@Suite("Kubefile: whatever comes")
struct PropertyTests {
    /// Parses, and checks that every mistake lies inside the text.
    private func check(_ text: String) -> Int {
        do throws(InvalidText) {
            let document = try KubefileDocument.parse(text)
            checkStable(document)
            do throws(InvalidText) {
                _ = try document.expand(buildArguments: ["A": "x"])
            } catch {
                checkPlaces(error.diagnostics, text)
            }
            return 0
        } catch {
            checkPlaces(error.diagnostics, text)
            return error.diagnostics.count
        }
    }

    private func checkPlaces(_ diagnostics: [Diagnostic], _ text: String) {
        let lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false)
        for diagnostic in diagnostics {
            let isInside =
                (1...lines.count).contains(diagnostic.line)
                && (1...lines[diagnostic.line - 1].count + 1).contains(diagnostic.column)
            #expect(isInside, "\(diagnostic) for \(text.debugDescription)")
            #expect(!diagnostic.message.isEmpty)
        }
    }

    /// The one-line texts of a document mean what the document means.
    private func checkStable(_ document: KubefileDocument) {
        let text = document.instructions.map(\.text).joined(separator: "\n")
        do throws(InvalidText) {
            let again = try KubefileDocument.parse(text)
            #expect(again.instructions.map(\.content) == document.instructions.map(\.content), "\(text)")
        } catch {
            Issue.record("\(error) for \(text.debugDescription)")
        }
    }

    @Test("random text never crashes")
    func randomText() {
        var random = SeededGenerator(seed: 1)
        let pieces = [
            "FROM ", "COPY ", "ARG ", "ENV ", "LABEL ", "CMD ", "CMDS ", "APP ", "LAUNCH ", "RUN ", "scratch",
            "local://", "a",
            "b/c", "=", "$", "${", "}", ":-", "A", "\\", "\n", "\r\n", "\\\n", "#", "\"", "'", "[", "]", ",", " ", "\t",
            "--x",
            "<<EOF", "EOF", "é", "😀", "\u{0}", "\u{feff}", "\r", "\\u12", "e\u{301}", "# escape=",
        ]
        var valid = 0
        for round in 0..<6000 {
            let count = Int.random(in: 0..<30, using: &random)
            let text = (0..<count).map { _ in pieces.randomElement(using: &random) ?? "" }.joined()
            if check(round.isMultiple(of: 2) ? "FROM x\n\(text)" : text) == 0 { valid += 1 }
        }
        #expect(valid > 50, "the generator must make valid files too, made \(valid)")
    }

    @Test("a valid file with seeded mutations never crashes, and never yields a place outside")
    func mutations() throws {
        let original = Array(ParseTests.everything.unicodeScalars)
        #expect(check(String(String.UnicodeScalarView(original))) == 0)
        var random = SeededGenerator(seed: 2)
        let bytes = Array("\\\"'$\n\r #[]{}=,:-<Aa\u{0}é".unicodeScalars)
        for _ in 0..<4000 {
            var text = original
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let index = Int.random(in: 0..<text.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: text.remove(at: index)
                case 1: text.insert(bytes.randomElement(using: &random) ?? " ", at: index)
                case 2: text[index] = bytes.randomElement(using: &random) ?? " "
                default:
                    let end = min(text.count, index + Int.random(in: 1..<60, using: &random))
                    let part = text[index..<end]
                    if Bool.random(using: &random), text.count - part.count > 1 {
                        text.removeSubrange(index..<end)
                    } else {
                        text.insert(contentsOf: part, at: Int.random(in: 0..<text.count, using: &random))
                    }
                }
            }
            _ = check(String(String.UnicodeScalarView(text)))
        }
    }
}
