import Kubefile
import Report
import Testing

/// The mistakes of a text, one a line, or none.
func mistakes(_ text: String) -> [String] {
    do throws(InvalidText) {
        _ = try KubefileDocument.parse(text)
        return []
    } catch {
        return error.diagnostics.map(\.description)
    }
}

/// The contents of a text that is right.
func contents(_ text: String) throws -> [KubefileDocument.Content] {
    try KubefileDocument.parse(text).instructions.map(\.content)
}

@Suite("Kubefile: reading")
struct ParseTests {
    static let everything = #"""
        # escape=\
        # A whole example.
        ARG VERSION=1.20.2
        FROM docker.io/sealerio/kubernetes:v${VERSION}

        label org.opencontainers.image.title="my cluster" tier=prod
        ENV region=eu GREETING='hello $you'
        COPY manifests/*.yaml \
            # a comment in between
            charts \
            rootfs/
        copy ["a file", "b"]
        APP mysql local://charts/mysql local://values.yaml
        CMD kubectl patch node "$HOSTNAME" -p '{"spec":{"taints":[],"a":"b,c"}}' \
          && echo done
        """#

    @Test("every instruction, in its order, with its place")
    func everything() throws {
        let text = Self.everything
        let document = try KubefileDocument.parse(text)
        let places = document.instructions.map { "\($0.position)-\($0.lastLine)" }
        #expect(places == ["3:1-3", "4:1-4", "6:1-6", "7:1-7", "8:1-11", "12:1-12", "13:1-13", "14:1-15"])
        guard case .copy(let sources, let destination) = document.instructions[4].content else {
            Issue.record("COPY was not read as such")
            return
        }
        #expect(sources.map(\.source) == ["manifests/*.yaml", "charts"])
        #expect(sources.map(\.position) == [SourcePosition(line: 8, column: 6), SourcePosition(line: 10, column: 5)])
        #expect(destination.literal == "rootfs/")
        #expect(destination.position == SourcePosition(line: 11, column: 5))
        guard case .copy(let listed, _) = document.instructions[5].content else {
            Issue.record("COPY [] was not read as such")
            return
        }
        #expect(listed.map(\.literal) == ["a file"])
        #expect(document.base.source == "docker.io/sealerio/kubernetes:v${VERSION}")
        #expect(document.warnings.isEmpty)
    }

    @Test(
        "commands survive byte for byte",
        arguments: [
            #"kubectl patch x -p '{"a":"b,c","d":["$HOSTNAME"]}'"#,
            #"echo "it's" \"x\" ${A:-b} `id` $(date) # no comment"#,
            "[ -f x ] && echo yes", #"[ "$A" = b ] && echo"#, "a \u{e4}\u{1F600}  two blanks", "cat <<< here",
            "x=$((1<<2))",
            #"helm install x --set a=1,b=2 --set-string 'c=d e'"#, "sh -c 'for i in 1 2; do echo $i; done'",
        ]
    )
    func commands(command: String) throws {
        let expected: [KubefileDocument.Content] = [.command(command)]
        #expect(try Array(contents("FROM scratch\nCMD \(command)").dropFirst()) == expected)
        #expect(try Array(contents("FROM scratch\r\n  cmd   \(command)  \r\n").dropFirst()) == expected)
    }

    @Test("CMD as a JSON array is quoted for the shell; CMDS are commands as they stand")
    func lists() throws {
        let text = #"""
            FROM base
            CMD ["echo", "a b", "it's", "$HOME", "", "\u00e9\ud83d\ude00\t\\", "x=1,y/z"]
            CMDS [ "kubectl apply -f x,y" , "echo \"$HOSTNAME\"" ]
            """#
        let read = try contents(text)
        #expect(read[1] == .command(#"echo 'a b' 'it'"'"'s' '$HOME' '' 'é😀"# + "\t" + #"\' 'x=1,y/z'"#))
        #expect(read[2] == .commands(["kubectl apply -f x,y", #"echo "$HOSTNAME""#]))
    }

    @Test("LAUNCH as a list and as words")
    func launch() throws {
        for form in [#"LAUNCH ["a", "b"]"#, "LAUNCH a b", "launch a \\\n  b"] {
            let document = try KubefileDocument.parse("FROM base\nAPP a local://a\n\(form)")
            guard case .launch(let apps)? = document.instructions.last?.content else {
                Issue.record("\(form) was not read as LAUNCH")
                continue
            }
            #expect(apps.map(\.name) == ["a", "b"])
            let second = try #require(apps.last).position
            #expect(second.line == (form.hasPrefix("launch") ? 4 : 3))
        }
    }

    @Test("byte order mark, CRLF, comments and blank lines")
    func forms() throws {
        let text = "\u{feff}# comment\r\n\r\n  FROM scratch\r\nCOPY a \\\r\n\r\n  b\r\n"
        let document = try KubefileDocument.parse(text, file: "K")
        #expect(
            document.instructions.map(\.position) == [
                SourcePosition(line: 3, column: 3), SourcePosition(line: 4, column: 1),
            ])
        #expect(
            document.warnings.map(\.description)
                == ["K:5:1: warning: an empty line within an instruction that \\ continues, passed over"]
        )
    }

    @Test("an instruction's one-line text means the same when it is read again")
    func textIsStable() throws {
        let text = Self.everything
        let first = try KubefileDocument.parse(text)
        let second = try KubefileDocument.parse(first.instructions.map(\.text).joined(separator: "\n"))
        #expect(first.instructions.map(\.content) == second.instructions.map(\.content))
        #expect(first.instructions.map(\.text) == second.instructions.map(\.text))
    }
}
