import Kubefile
import Report
import Testing

@Suite("Kubefile: variables")
struct ExpandTests {
    private func expand(
        _ text: String,
        _ arguments: [String: String] = [:],
        predefined: [String: String] = [:]
    ) throws(InvalidText) -> ExpandedKubefile {
        try KubefileDocument.parse(text).expand(buildArguments: arguments, predefined: predefined)
    }

    private func mistakes(_ text: String, _ arguments: [String: String] = [:]) -> [String] {
        do throws(InvalidText) {
            _ = try expand(text, arguments)
            return []
        } catch {
            return error.diagnostics.map(\.description)
        }
    }

    @Test(
        "words",
        arguments: [
            ("$A", "1"), ("${A}b$B", "1b2 2"), ("x${A}", "x1"), ("$Ab", "long"), ("${C:-none}", "none"),
            ("${E:-none}", "none"),
            ("${E}", ""), ("${A:-none}", "1"), ("${C:-$A-${B}}", "1-2 2"), ("\\$A", "$A"), ("'$A'", "$A"),
            ("\"$A b\"", "1 b"),
            ("\"\\$A\\\\ \\\" \\x\"", "$A\\ \" \\x"), ("a\\ b", "a b"), ("\"it's\"", "it's"), ("a\"b\"'c'd", "abcd"),
            ("${C:-'a }'}", "a }"), ("a=b=c", "a=b=c"),
        ]
    )
    func words(word: String, expected: String) throws {
        let values = ["A": "1", "B": "2 2", "E": "", "Ab": "long"]
        let expanded = try expand("FROM x\nLABEL l=\(word)", predefined: values)
        #expect(expanded.labels == ["l": expected])
    }

    @Test("in every instruction that has words, not in commands")
    func instructions() throws {
        let text = #"""
            ARG V=1
            ARG NAME
            FROM reg/${NAME}:$V
            ENV P=$V Q=${P:-old}
            ENV P=new Q=$P
            ENV R the rest  of "$P"
            COPY ["$V/a \\$x", "$P/"]
            COPY dir-$Q to
            APP $NAME local:///$V/x local://y
            CMD echo $V ${NAME} '$P'
            CMDS ["echo $V"]
            """#
        let expanded = try expand(text, ["NAME": "n", "TYPO": "x", "A": "b"])
        let contents = expanded.instructions.map(\.content)
        guard case .from(let base) = contents[2] else {
            Issue.record("no FROM")
            return
        }
        #expect(base.text == "reg/n:1")
        #expect(contents[3] == .env([.init(name: "P", value: "1"), .init(name: "Q", value: "old")]))
        // Both values see P as it was before the line.
        #expect(contents[4] == .env([.init(name: "P", value: "new"), .init(name: "Q", value: "1")]))
        #expect(expanded.environment == ["P": "new", "Q": "1", "R": "the rest  of new"])
        guard case .copy(let sources, let destination) = contents[6], case .copy(let others, _) = contents[7],
            case .app(let name, let files) = contents[8]
        else {
            Issue.record("no COPY, no APP")
            return
        }
        #expect(sources.map(\.text) == ["1/a $x"])
        #expect(destination.text == "new/")
        #expect(others.map(\.text) == ["dir-1"])
        #expect(name.text == "n")
        #expect(files.map(\.text) == ["1/x", "y"])
        #expect(files.map(\.position.column) == [11, 25])
        #expect(contents[9] == .command("echo $V ${NAME} '$P'"))
        #expect(contents[10] == .commands(["echo $V"]))
        #expect(expanded.arguments == ["V": "1", "NAME": "n"])
        #expect(expanded.unusedBuildArguments == ["A", "TYPO"])
    }

    @Test("the base image alone, before its environment is known")
    func base() throws {
        let document = try KubefileDocument.parse("ARG T=v1\nFROM a:$T\nENV X=$PATH")
        #expect(try document.expandBase(buildArguments: [:]).text == "a:v1")
        #expect(try document.expandBase(buildArguments: ["T": "v2"]).text == "a:v2")
        #expect(try document.expand(buildArguments: [:], predefined: ["PATH": "/bin"]).environment == ["X": "/bin"])
        #expect(throws: InvalidText.self) { try document.expand(buildArguments: [:]) }
        #expect(try KubefileDocument.parse("FROM scratch").expandBase(buildArguments: [:]).text == "scratch")
    }

    @Test("an ARG that is named again keeps its value; ENV wins over ARG")
    func scopes() throws {
        let expanded = try expand("ARG V=1\nFROM a\nARG V\nLABEL a=$V\nENV V=env\nARG V=2\nLABEL b=$V")
        #expect(expanded.labels == ["a": "1", "b": "env"])
    }

    @Test("unknown variables and words that became wrong are mistakes with their place")
    func wrong() {
        let text = """
            ARG D
            FROM a:$D
            LABEL x=1 \\
              y="a ${NOPE} $D"
            ARG N=ok UP=.. W=http://x
            COPY $UP/x $W
            APP a-$N local://a
            APP a-ok local://$UP
            APP $W local://a
            COPY $W to
            """
        let name = "is not an application's name: at most 53 lower-case letters, digits, - and . were expected,"
        #expect(
            mistakes(text) == [
                "Kubefile:2:8: D has no value: give --build-arg D=VALUE, or ARG D a default",
                "Kubefile:4:8: the variable NOPE is not known here: ARG NOPE or ENV NOPE=VALUE above was expected",
                "Kubefile:4:16: D has no value: give --build-arg D=VALUE, or ARG D a default",
                "Kubefile:6:6: \"../x\" leads out of the build context: a path within it was expected",
                "Kubefile:8:5: a second application \"a-ok\", the first stands in line 7",
                "Kubefile:8:10: \"..\" leads out of the build context: a path within it was expected",
                "Kubefile:9:5: \"http://x\" \(name) a letter or digit at both ends",
                "Kubefile:10:6: COPY from the network is not supported yet: a path in the build context was expected",
            ]
        )
        #expect(mistakes("FROM a\nLABEL b=$C\nENV C=1").count == 1, "a value holds only below its ENV")
    }
}
