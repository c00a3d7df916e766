"""Short public posts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from palaestra.envs.tools.bfcl.multi_turn.apis.base import Api, Result

__all__ = ["TwitterAPI"]


class TwitterAPI(Api):
    """One user's account, and everybody's posts."""

    def _load(self, scenario: Mapping[str, Any], long_context: bool) -> None:
        self.username: str = scenario.get("username", "john")
        self.password: str = scenario.get("password", "john123")
        self.authenticated: bool = scenario.get("authenticated", False)
        self.tweets: dict[int, dict[str, Any]] = {
            int(number): tweet for number, tweet in scenario.get("tweets", {}).items()
        }
        self.comments: dict[Any, list[dict[str, str]]] = scenario.get("comments", {})
        self.retweets: dict[str, list[int]] = scenario.get("retweets", {})
        self.following_list: list[str] = scenario.get("following_list", ["alice", "bob"])
        self.tweet_counter: int = scenario.get("tweet_counter", 0)

    def _closed(self, before: str) -> Result | None:
        if self.authenticated:
            return None
        return {"error": f"User not authenticated. Please authenticate before {before}."}

    def _missing(self, tweet_id: int) -> Result | None:
        return None if tweet_id in self.tweets else {"error": f"Tweet with ID {tweet_id} not found."}

    def authenticate_twitter(self, username: str, password: str) -> Result:
        """Logs in with a name and a password."""
        if username == self.username and password == self.password:
            self.authenticated = True
            return {"authentication_status": True}
        return {"authentication_status": False}

    def posting_get_login_status(self) -> Result:
        """Whether the user is logged in."""
        return {"login_status": bool(self.authenticated)}

    def post_tweet(self, content: str, tags: list[str] | None = [], mentions: list[str] | None = []) -> Result:  # noqa: B006
        """Posts."""
        if closed := self._closed("posting"):
            return closed
        # Lists of the post's own. Officially the default lists are shared by all posts of the process.
        tweet = {
            "id": self.tweet_counter,
            "username": self.username,
            "content": content,
            "tags": list(tags) if isinstance(tags, list) else tags,
            "mentions": list(mentions) if isinstance(mentions, list) else mentions,
        }
        self.tweets[self.tweet_counter] = tweet
        self.tweet_counter += 1
        return tweet

    def retweet(self, tweet_id: int) -> Result:
        """Passes a post on."""
        if problem := self._closed("retweeting") or self._missing(tweet_id):
            return problem
        own = self.retweets.setdefault(self.username, [])
        if tweet_id in own:
            return {"retweet_status": "Already retweeted"}
        own.append(tweet_id)
        return {"retweet_status": "Successfully retweeted"}

    def comment(self, tweet_id: int, comment_content: str) -> Result:
        """Comments on a post."""
        if problem := self._closed("commenting") or self._missing(tweet_id):
            return problem
        self.comments.setdefault(tweet_id, []).append({"username": self.username, "content": comment_content})
        return {"comment_status": "Comment added successfully"}

    def mention(self, tweet_id: int, mentioned_usernames: list[str]) -> Result:
        """Adds names to a post's mentions."""
        if missing := self._missing(tweet_id):
            return missing
        self.tweets[tweet_id]["mentions"].extend(mentioned_usernames)
        return {"mention_status": "Users mentioned successfully"}

    def follow_user(self, username_to_follow: str) -> Result:
        """Follows somebody."""
        if closed := self._closed("following"):
            return closed
        if username_to_follow in self.following_list:
            return {"follow_status": False}
        self.following_list.append(username_to_follow)
        return {"follow_status": True}

    def list_all_following(self) -> Result:
        """Whom the user follows."""
        return self._closed("listing following") or {"following_list": self.following_list}

    def unfollow_user(self, username_to_unfollow: str) -> Result:
        """No longer follows somebody."""
        if closed := self._closed("unfollowing"):
            return closed
        if username_to_unfollow not in self.following_list:
            return {"unfollow_status": False}
        self.following_list.remove(username_to_unfollow)
        return {"unfollow_status": True}

    def get_tweet(self, tweet_id: int) -> Result:
        """One post."""
        return self._missing(tweet_id) or self.tweets[tweet_id]

    def get_user_tweets(self, username: str) -> list[Result]:
        """Somebody's posts."""
        return [tweet for tweet in self.tweets.values() if tweet["username"] == username]

    def search_tweets(self, keyword: str) -> list[Result]:
        """Posts with a word in the text, or as a whole tag, in any case."""
        return [
            tweet
            for tweet in self.tweets.values()
            if keyword.lower() in tweet["content"].lower() or keyword.lower() in [tag.lower() for tag in tweet["tags"]]
        ]

    def get_tweet_comments(self, tweet_id: int) -> Result | list[dict[str, str]]:
        """The comments on a post."""
        return self._missing(tweet_id) or self.comments.get(tweet_id, [])

    def get_user_stats(self, username: str) -> Result:
        """How much somebody posts, follows and passes on."""
        return {
            "tweet_count": sum(tweet["username"] == username for tweet in self.tweets.values()),
            "following_count": len(self.following_list) if username == self.username else 0,
            "retweet_count": len(self.retweets.get(username, [])),
        }
