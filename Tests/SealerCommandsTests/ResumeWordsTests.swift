import ArgumentParser
import Testing

@testable import SealerCommands

@Suite("The commands that messages say to go on with")
struct ResumeWordsTests {
    @Test("name the folder that the user named, so that a shell reads it as one word")
    func root() throws {
        #expect(try RootOptions.parse([]).words == "")
        #expect(try RootOptions.parse(["--root", "/srv/sealer"]).words == " --root /srv/sealer")
        #expect(try RootOptions.parse(["--root", "/srv/my files"]).words == " --root '/srv/my files'")
        #expect(RootOptions.words("$HOME") == " --root '$HOME'")
    }

    @Test("agree to what was agreed to")
    func yes() throws {
        #expect(try ExecutionOptions.parse([]).words == "")
        #expect(try ExecutionOptions.parse(["-y"]).words == " --yes")
    }

    @Test("name the Clusterfile or the cluster as it was named")
    func source() throws {
        #expect(try ClusterfileOptions.parse([]).words == "--file Clusterfile")
        #expect(try ClusterfileOptions.parse(["--file", "my cluster.yaml"]).words == "--file 'my cluster.yaml'")
        #expect(try ClusterfileOptions.parse(["--name", "shop"]).words == "--name shop")
    }
}
