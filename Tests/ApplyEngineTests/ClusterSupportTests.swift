import Clusterfile
import Report
import TestSupport
import Testing

@testable import ApplyEngine
@testable import Simulation

@Suite("What an image cannot give")
struct ClusterSupportTests {
    @Test("is told at the place in the Clusterfile, all at once; without a file, by the field")
    func places() async throws {
        let scratch = try Scratch()
        let site = try await SimulatedSite.make(scratch.path)
        let text = site.draft.text.replacing(
            "  hosts:\n", with: "  appNames: [one,\n    two]\n  hosts:\n")
        var cluster = try Cluster.parse(text, file: "dir/Clusterfile").cluster
        let failure = await #expect(throws: Failure.self) { try await site.engine.plan(cluster) }
        #expect(failure?.kind == .invalidInput)
        let lines = (failure?.what ?? "").split(separator: "\n")
        #expect(lines.count == 2)
        for (line, words) in zip(
            lines,
            [
                "dir/Clusterfile:8:14: the image has no application one",
                "dir/Clusterfile:9:5: the image has no application two",
            ])
        { #expect(line.hasPrefix(words), "\(line)") }

        cluster.origins = Origins()
        let other = await #expect(throws: Failure.self) { try await site.engine.plan(cluster) }
        #expect(other?.what.contains("spec.appNames[1]: the image has no application two") == true)
        // Where it stands makes no other cluster of it.
        #expect(try cluster == Cluster.parse("# moved\n\(text)", file: "other").cluster)
    }
}
