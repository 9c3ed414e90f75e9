import Kubefile
import Report
import Testing

@Suite("Kubefile: mistakes")
struct MistakeTests {
    @Test(
        "each mistake says what is there, what was expected, and where",
        arguments: [
            ("FROM", "1:5: FROM says nothing: FROM IMAGE, or FROM scratch was expected"),
            ("FROM --platform=linux/arm64 a", "1:6: FROM --platform is not supported yet"),
            ("FROM --what a", "1:6: FROM has no flag --what: FROM IMAGE, or FROM scratch was expected"),
            ("FROM a AS b", "1:8: FROM … AS is not supported yet: a Kubefile has one stage, which needs no name"),
            ("FROM a b", "1:8: one word too many: FROM IMAGE, or FROM scratch was expected"),
            (
                "FROM a\nFROM b",
                "2:1: a second FROM: several stages are not supported yet, exactly one FROM was expected"
            ),
            ("COPY a b\nFROM c", "1:1: COPY stands before FROM, where only ARG may"),
            ("# nothing", "1:1: there is no FROM: FROM IMAGE or FROM scratch was expected as the first instruction"),
            ("", "1:1: there is no FROM: FROM IMAGE or FROM scratch was expected as the first instruction"),
            ("# escape=`\nFROM a", "1:1: the directive escape=` is not supported: \\ escapes"),
            ("# syntax=x\nFROM a", "1:1: the directive syntax= is not supported: sealer reads the file itself"),
            ("FROM \"a", "1:6: the double quote that opens here is never closed"),
            ("FROM 'a", "1:6: the single quote that opens here is never closed"),
            ("FROM ${A", "1:6: the ${ that opens here is never closed by }"),
            ("FROM a$", "1:7: a variable's name was expected after $; a dollar sign itself is \\$"),
            ("FROM a$$b", "1:7: a variable's name was expected after $; a dollar sign itself is \\$"),
            ("FROM ${A:+b}", "1:9: \"${A:\" is not supported: only ${NAME} and ${NAME:-default} are"),
        ]
    )
    func whole(text: String, expected: String) {
        #expect(mistakes(text) == ["Kubefile:\(expected)"])
    }

    @Test(
        "mistakes after FROM",
        arguments: [
            ("COPPY a b", "1: unknown instruction \"COPPY\", did you mean COPY?"),
            ("lunch a", "1: unknown instruction \"lunch\", did you mean LAUNCH?"),
            ("EVN a=b", "1: unknown instruction \"EVN\", did you mean ENV?"),
            (
                "FROBNICATE x",
                "1: unknown instruction \"FROBNICATE\", one of FROM, COPY, ARG, ENV, LABEL, CMD, CMDS, APP, LAUNCH was expected"
            ),
            ("RUN make", "1: RUN is not supported yet"), ("appcmds a [\"b\"]", "1: APPCMDS is not supported yet"),
            ("KUBEVERSION >=1.22", "1: KUBEVERSION is not supported yet"),
            ("CNI a local://b", "1: CNI is not supported yet"),
            ("COPY a", "7: the destination is missing: COPY SOURCE… DESTINATION was expected"),
            ("COPY []", "8: sources and destination are missing: COPY SOURCE… DESTINATION was expected"),
            ("COPY --chown=1 a b", "6: COPY --chown is not supported yet"),
            ("COPY a ../b", "8: \"../b\" leads out of the rootfs: a path within it was expected"),
            ("COPY x/../../a b", "6: \"x/../../a\" leads out of the build context: a path within it was expected"),
            (
                "COPY http://a/b c",
                "6: COPY from the network is not supported yet: a path in the build context was expected"
            ),
            ("COPY [\"a\" \"b\"]", "11: a comma or ] was expected, found \"\"\""),
            ("COPY [\"a\", \"b\"", "15: a comma or ] was expected, found the end"),
            ("COPY <<EOF b\nthis is text\nEOF", "6: here-documents (<<EOF) are not supported yet"),
            ("CMD cat <<-'X' > f\nFROM\n\tX", "9: here-documents (<<X) are not supported yet"),
            ("ARG 1a=b", "5: \"1a\" is not a name for ARG: letters, digits and _ were expected, no digit first"),
            ("ENV a-b=c", "5: \"a-b\" is not a name for ENV: letters, digits and _ were expected, no digit first"),
            ("ENV =c", "5: \"\" is not a name for ENV: letters, digits and _ were expected, no digit first"),
            ("ENV a", "6: the value is missing: ENV NAME=VALUE… was expected"),
            ("ENV a=b c", "10: = is missing after \"c\": ENV NAME=VALUE… was expected (quote values with blanks)"),
            ("ENV a=\"b c", "7: the double quote that opens here is never closed"),
            ("LABEL =x", "7: the name before = is empty: LABEL NAME=VALUE… was expected"),
            ("CMD", "4: CMD says nothing: CMD COMMAND was expected"),
            ("CMD []", "5: the list is empty: a command was expected"),
            ("CMD [\"a\", 'b']", "11: a string in double quotes was expected, found \"'\""),
            ("CMD [\"a\\x\"]", "8: JSON knows no such escape: \\\\ is a backslash"),
            ("CMDS kubectl apply", "6: a list [\"…\", …] was expected, found \"k\""),
            ("CMDS [\"a\", 1]", "12: a string in double quotes was expected, found \"1\""),
            ("CMDS [\"a\", \" \"]", "12: the command is empty"),
            ("CMDS []", "6: the list is empty: CMDS [\"COMMAND\", …] was expected"),
            ("CMDS [\"a]", "7: the string that opens here is never closed"),
            ("CMDS [\"a\"] x", "12: nothing after the list's ] was expected, found \"x\""),
            ("APP mysql", "10: the place of the files is missing: APP NAME local://PATH… was expected"),
            ("APP mysql charts/mysql", "11: \"charts/mysql\": local://PATH was expected"),
            ("APP mysql local://", "11: the path after local:// is missing"),
            ("APP mysql local://../x", "11: \"../x\" leads out of the build context: a path within it was expected"),
            (
                "APP mysql https://x/y.sh",
                "11: \"https://x/y.sh\": files from the network are not supported yet, local://PATH was expected"
            ),
            (
                "APP ../x local://a",
                "5: \"../x\" is not an application's name: at most 53 lower-case letters, digits, - and . were expected, a letter or digit at both ends"
            ),
            ("LAUNCH [\"a\", \"a\"]", "14: \"a\" is launched twice"),
            ("LAUNCH $X", "8: LAUNCH takes names as they are, variables are not supported"),
        ]
    )
    func afterFrom(text: String, expected: String) {
        #expect(mistakes("FROM base\n\(text)") == ["Kubefile:2:\(expected)"])
    }

    @Test("rules over several instructions")
    func rules() {
        #expect(
            mistakes("FROM base\nLAUNCH a\nCMD b\nCMDS [\"c\"]\nLAUNCH a") == [
                "Kubefile:3:1: CMD and LAUNCH (line 2) exclude each other",
                "Kubefile:4:1: CMDS and LAUNCH (line 2) exclude each other",
                "Kubefile:5:1: a second LAUNCH: it may stand once, with all in one list",
            ]
        )
        #expect(
            mistakes("FROM base\nAPP a local://a\nAPP a local://b") == [
                "Kubefile:3:5: a second application \"a\", the first stands in line 2"
            ]
        )
        #expect(
            mistakes("FROM scratch\nAPP a local://a\nLAUNCH [\"a\", \"b\"]") == [
                "Kubefile:3:14: there is no APP \"b\" in this file, and FROM scratch brings none"
            ]
        )
        #expect(mistakes("FROM base\nAPP a local://a\nLAUNCH [\"a\", \"b\"]").isEmpty)
        #expect(mistakes("ARG X=1\nFROM base\nCMD a\nCMD b\nCMDS [\"c\"]").isEmpty)
    }

    @Test("all mistakes of a file come together, on continuation lines too")
    func together() {
        let text = """
            COPY a
            FROM
            # comment
            ENV a=1 \\
              # comment
              b-c=2 \\
              d
            RUN x && \\
              y
            APP x \\
                https://a
            LAUNCH x
            CMD y
            """
        let found = mistakes(text)
        #expect(
            found.map { $0.split(separator: " ", maxSplits: 1).first.map(String.init) ?? "" } == [
                "Kubefile:1:1:", "Kubefile:1:7:", "Kubefile:2:5:", "Kubefile:6:3:", "Kubefile:7:4:", "Kubefile:8:1:",
                "Kubefile:11:5:", "Kubefile:13:1:",
            ],
            "\(found)"
        )
    }

    @Test("a file that is too large, or wrong all over, is given up with a word")
    func limits() {
        #expect(
            mistakes(String(repeating: "#\n", count: 600_000)) == [
                "Kubefile:1:1: the file is larger than 1 MiB, a Kubefile was expected"
            ])
        let found = mistakes(String(repeating: "X\n", count: 5000))
        #expect(found.count == 101)
        #expect(found.last == "Kubefile:101:1: too many mistakes, the rest of the file is not read")
    }
}
