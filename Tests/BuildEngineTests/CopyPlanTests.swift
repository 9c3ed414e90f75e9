import Kubefile
import LinuxSystem
import Report
import SystemPackage
import TestSupport
import Testing

@testable import BuildEngine

@Suite("COPY")
struct CopyPlanTests {
    private static let document: KubefileDocument? = try? KubefileDocument.parse("FROM scratch\n")

    private func plan(_ sources: [String], _ destination: String, in root: FilePath) throws -> [String] {
        let document = try #require(Self.document)
        let position = SourcePosition(line: 1, column: 1)
        let plan = try CopyPlan.copy(
            sources: sources.map { .init(text: $0, position: position) },
            destination: .init(text: destination, position: position),
            context: BuildContext(root),
            document: document
        )
        let prefix = try BuildContext(root).root.string
        return plan.items.map { "\($0.source.string.dropFirst(prefix.count)) -> \($0.destination)" }
    }

    @Test(
        "puts files and folders where Docker would",
        arguments: [
            (["etc"], "etc", ["/etc -> etc"]),
            (["etc"], ".", ["/etc -> "]),
            (["etc"], "/", ["/etc -> "]),
            (["."], "/", [" -> "]),
            (["a.txt"], "b.txt", ["/a.txt -> b.txt"]),
            (["a.txt"], "new/", ["/a.txt -> new/a.txt"]),
            (["a.txt"], ".", ["/a.txt -> a.txt"]),
            (["a.txt"], "/x/../y", ["/a.txt -> y"]),
            (["imageList"], "manifests", ["/imageList -> manifests/imageList"]),
            (["a.txt", "imageList"], "new", ["/a.txt -> new/a.txt", "/imageList -> new/imageList"]),
            (["etc/*.conf"], "etc/", ["/etc/a.conf -> etc/a.conf", "/etc/b.conf -> etc/b.conf"]),
            (["e?c"], "x", ["/etc -> x"]),
        ] as [([String], String, [String])])
    func places(sources: [String], destination: String, expected: [String]) throws {
        let scratch = try Scratch()
        try Folder.make(scratch.path.appending("etc"))
        for name in ["a.txt", "imageList", "etc/a.conf", "etc/b.conf", "etc/c.txt"] {
            try AtomicFile.write([], to: scratch.path.appending(FilePath(name).components))
        }
        #expect(try plan(sources, destination, in: scratch.path) == expected)
    }

    @Test("of a pattern that matches nothing is a mistake")
    func nothing() throws {
        let scratch = try Scratch()
        let path = scratch.path
        #expect(throws: InvalidText.self) { try plan(["*.yaml"], "x", in: path) }
    }
}
